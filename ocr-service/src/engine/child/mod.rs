//! The engine's side: what runs in a child process of the service and recognises one image at a time.
//!
//! It is the service's own program, started as `ocr-service engine` by the service and by nobody else. Its standard
//! input is a socket for both directions; when the service ends, however it ends, so does the engine. What is started is
//! a fork server; each engine is a fork of it.

mod fork;
mod fork_server;
mod recogniser;
mod shares;
mod signals;
mod tesseract;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use self::recogniser::Recogniser;
use super::frame;
use super::protocol::{Reply, Request, Settings, Started, Task};

/// Not among the subcommands that the help names.
pub const SUBCOMMAND: &str = "engine";

/// For a recognition to notice that the service is gone.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// This process was started as the engines' fork server.
pub fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == SUBCOMMAND)
}

/// The whole life of the fork server, and of each engine. Recognition runs on this, the main thread, because Tesseract's
/// layout analysis recurses and a main thread's stack is the largest.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The service has seen the end of the socket and needs no words.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    signals::leave_the_end_to_the_service()?;
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some((settings, _)) = frame::read::<Settings>(&mut control)? else { return Ok(()) };
    let recogniser = match Recogniser::warm(settings) {
        Ok(recogniser) => recogniser,
        Err(failure) => return frame::write(&mut control, &Started::Err(failure)),
    };
    frame::write(&mut control, &Started::Ok(()))?;
    match fork_server::serve(control)? {
        Some(socket) => live(recogniser, socket),
        None => Ok(()),
    }
}

/// An engine's life.
fn live(mut recogniser: Recogniser, mut from: UnixStream) -> io::Result<()> {
    let mut to = from.try_clone()?;
    let wishes = Arc::new(Wishes::default());
    let (tasks, arrived) = mpsc::channel();
    std::thread::Builder::new().name("reader".into()).spawn({
        let wishes = wishes.clone();
        move || listen(&mut from, tasks, &wishes)
    })?;
    work(&mut recogniser, &arrived, &wishes, &mut to)
}

/// A task, its image, and when it must be done.
struct Assignment {
    task: Task,
    image: Vec<u8>,
    deadline: Instant,
}

fn work(
    recogniser: &mut Recogniser,
    arrived: &Receiver<Assignment>,
    wishes: &Wishes,
    to: &mut UnixStream,
) -> io::Result<()> {
    for Assignment { task, image, deadline } in arrived {
        let stop = || Instant::now() >= deadline || wishes.stop(task.id);
        let reply: Reply = recogniser.recognize(&image, &task, &stop);
        frame::write(to, &reply)?;
    }
    Ok(())
}

/// What the reader has heard meanwhile.
#[derive(Default)]
struct Wishes {
    /// The highest task that nobody waits for; tasks are numbered from 1.
    cancelled: AtomicU64,
    service_is_gone: AtomicBool,
}

impl Wishes {
    fn stop(&self, task: u64) -> bool {
        self.service_is_gone.load(Ordering::Relaxed) || self.cancelled.load(Ordering::Relaxed) >= task
    }
}

/// Hears the service out, also while the main thread recognises.
fn listen(from: &mut UnixStream, tasks: Sender<Assignment>, wishes: &Wishes) {
    while let Ok(Some((request, image))) = frame::read::<Request>(from) {
        match request {
            Request::Cancel(task) => wishes.cancelled.store(task, Ordering::Relaxed),
            Request::Recognize(task) => {
                let deadline = Instant::now() + Duration::from_millis(task.remaining_ms);
                if tasks.send(Assignment { task, image, deadline }).is_err() {
                    break;
                }
            }
        }
    }
    // The service is gone: the main thread ends the process as soon as it has nothing to do, or hears of it between
    // two lines. If it does neither, it is in the middle of something that must not outlive the service.
    wishes.service_is_gone.store(true, Ordering::Relaxed);
    drop(tasks);
    std::thread::sleep(LAST_MOMENT);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_that_comes_late_does_not_stop_the_next_task() {
        let wishes = Wishes::default();
        assert!(!wishes.stop(1));
        wishes.cancelled.store(1, Ordering::Relaxed);
        assert!(wishes.stop(1) && !wishes.stop(2));
    }
}
