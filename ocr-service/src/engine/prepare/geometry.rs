//! From the prepared picture's coordinates back to those of the sent one.

use super::Rect;

/// The sent picture was scaled, and then turned about its middle onto a larger canvas.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub scale: f32,
    /// Clockwise.
    pub radians: f32,
    /// Width and height, in pixels.
    pub sent: (u32, u32),
    pub prepared: (u32, u32),
}

impl Geometry {
    pub fn unchanged(size: (u32, u32)) -> Self {
        Self { scale: 1.0, radians: 0.0, sent: size, prepared: size }
    }

    /// The smallest upright rectangle of the sent picture with all that `rect` shows of it.
    pub fn to_sent(self, rect: Rect) -> Rect {
        let (left, top) = (f64::from(rect.x), f64::from(rect.y));
        let (right, bottom) = (left + f64::from(rect.width), top + f64::from(rect.height));
        let corners =
            [(left, top), (right, top), (left, bottom), (right, bottom)].map(|corner| self.point(corner));
        let (width, height) = (f64::from(self.sent.0), f64::from(self.sent.1));
        let least = |of: fn((f64, f64)) -> f64| corners.map(of).into_iter().fold(f64::INFINITY, f64::min);
        let most = |of: fn((f64, f64)) -> f64| corners.map(of).into_iter().fold(0.0, f64::max);
        let (x, y) =
            (pixel(least(|corner| corner.0).min(width)), pixel(least(|corner| corner.1).min(height)));
        let (end, foot) =
            (pixel(most(|corner| corner.0).min(width)), pixel(most(|corner| corner.1).min(height)));
        Rect { x, y, width: end - x, height: foot - y }
    }

    fn point(self, (x, y): (f64, f64)) -> (f64, f64) {
        let middle = |(width, height): (u32, u32)| (f64::from(width) / 2.0, f64::from(height) / 2.0);
        let (scale, radians) = (f64::from(self.scale), f64::from(self.radians));
        let (to, from) = (middle(self.prepared), middle(self.sent));
        let (x, y) = (x - to.0, y - to.1);
        let (sin, cos) = radians.sin_cos();
        ((x * cos + y * sin) / scale + from.0, (y * cos - x * sin) / scale + from.1)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what lies outside becomes the edge"
)]
fn pixel(at: f64) -> u32 {
    at.round().max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_twice_as_large_halves_every_box() {
        let geometry = Geometry { scale: 2.0, radians: 0.0, sent: (100, 50), prepared: (200, 100) };
        let rect = Rect { x: 20, y: 40, width: 60, height: 10 };
        assert_eq!(geometry.to_sent(rect), Rect { x: 10, y: 20, width: 30, height: 5 });
    }

    proptest! {
        #[test]
        fn a_box_never_leaves_the_sent_picture(
            scale in 0.5_f32..3.0, radians in -0.1_f32..0.1, x in 0_u32..900, y in 0_u32..900, width in 0_u32..900, height in 0_u32..900,
        ) {
            let geometry = Geometry { scale, radians, sent: (300, 200), prepared: (900, 600) };
            let found = geometry.to_sent(Rect { x, y, width, height });
            prop_assert!(found.x + found.width <= 300 && found.y + found.height <= 200, "{:?}", found);
        }
    }
}
