//! What the live view remembers beside the scene: what has just changed, and what happened.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use platform::status::watch::{Change, PodSeen, Scene, changes};

/// What has changed is marked for so long.
const FRESH: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 500;

#[derive(Debug, Default)]
pub struct View {
    pub scene: Scene,
    /// What happened, oldest first, each with its time of day.
    pub happened: VecDeque<(String, Change)>,
    changed: HashMap<String, Instant>,
    begun: bool,
}

impl View {
    /// Takes in the next scene.
    pub fn look(&mut self, scene: Scene) {
        if self.begun {
            let time = clock();
            for change in changes(&self.scene, &scene) {
                self.happened.push_back((time.clone(), change));
            }
            let surplus = self.happened.len().saturating_sub(REMEMBERED);
            self.happened.drain(..surplus);
            let now = Instant::now();
            for pod in &scene.pods {
                let same = self.scene.pods.iter().any(|old| old == pod);
                if !same {
                    self.changed.insert(pod.id.clone(), now);
                }
            }
        }
        self.changed.retain(|_, since| since.elapsed() < FRESH);
        self.begun = true;
        self.scene = scene;
    }

    /// Whether it has changed within the last seconds.
    pub fn is_fresh(&self, pod: &PodSeen) -> bool {
        self.changed.contains_key(&pod.id)
    }
}

/// The time of day, by the clock of this place.
pub fn clock() -> String {
    platform::wait::time_of_day()
}
