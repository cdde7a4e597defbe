//! The images that are measured, and what stands on them.

use serde::Serialize;

use crate::error::Error;

/// Small, of three kinds: one line of a label, a nutrition label, a letter on tinted paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Picture {
    /// 500 by 120: NanumGothic, 32 pixels.
    Line,
    /// 900 by 1100.
    Label,
    /// 1260 by 928, slightly turned.
    Letter,
}

impl Picture {
    pub const ALL: [Self; 3] = [Self::Line, Self::Label, Self::Letter];

    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Label => "label",
            Self::Letter => "letter",
        }
    }

    pub fn file_name(self) -> &'static str {
        match self {
            Self::Line => "line.png",
            Self::Label => "label.png",
            Self::Letter => "letter.jpg",
        }
    }

    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Line => include_bytes!("../../stack/bench/images/line.png"),
            Self::Label => include_bytes!("../../stack/bench/images/label.png"),
            Self::Letter => include_bytes!("../../stack/sample.jpg"),
        }
    }

    /// What a person reads, in reading order.
    pub fn truth(self) -> &'static str {
        match self {
            Self::Line => "나트륨 1,480 mg Sodium 74%",
            Self::Label => {
                "영양정보 총 내용량 120 g 505 kcal 나트륨 1,480 mg 74% 탄수화물 84 g 26% 당류 6 g 6% 지방 15 g 28% \
                 트랜스지방 0 g 포화지방 7 g 47% 콜레스테롤 5 mg미만 1% 단백질 9 g 16% 칼슘 161 mg 23%"
            }
            Self::Letter => {
                "Hello from your child. I am learning to ride a bicycle and I miss you very much. Please write to me \
                 soon. 사랑하는 부모님께 편지를 씁니다. 오늘 학교에서 그림을 그렸습니다."
            }
        }
    }
}

impl std::str::FromStr for Picture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|picture| picture.name() == name).ok_or_else(|| {
            Error::usage(format!("there is no image called {name:?}; the images are line, label, letter"), "")
        })
    }
}

impl std::fmt::Display for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_are_of_the_sizes_that_targets_name() {
        // Width and height are the first fields of a PNG's header (RFC 2083, 4.1.1).
        let size = |bytes: &[u8]| {
            let at = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().unwrap());
            (at(16), at(20))
        };
        assert_eq!(size(Picture::Line.bytes()), (500, 120));
        assert_eq!(size(Picture::Label.bytes()), (900, 1100));
    }

    #[test]
    fn each_image_is_found_by_its_name() {
        for picture in Picture::ALL {
            assert_eq!(picture.name().parse::<Picture>().unwrap(), picture);
        }
        assert!("receipt".parse::<Picture>().unwrap_err().to_string().contains("letter"));
    }
}
