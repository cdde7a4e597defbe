//! Admission by itself, without engines.

use futures_util::FutureExt;

use super::*;

/// Admits each of `jobs` as a request of its own.
fn admit(queue: &Queue<u32>, jobs: &[u32]) -> Result<(), Refused> {
    admit_unless(queue, jobs, |_| false)
}

fn admit_unless(queue: &Queue<u32>, jobs: &[u32], abandoned: fn(&u32) -> bool) -> Result<(), Refused> {
    queue.admit(jobs.len(), |_| true, abandoned, drop, |_| jobs.iter().map(|job| vec![*job]).collect())
}

/// Admits `job`, unless more than `most` are ahead of it.
fn admit_after(queue: &Queue<u32>, most: usize, job: u32) -> Result<(), Refused> {
    queue.admit(1, |ahead| ahead <= most, |_| false, drop, |_| vec![vec![job]])
}

/// Takes what is there, without waiting.
fn take(queue: &Queue<u32>) -> Option<(u32, Taken<'_, u32>)> {
    queue.take().now_or_never().flatten()
}

#[test]
fn the_request_after_the_last_place_is_refused_and_says_what_stood_in_the_way() {
    let queue = Queue::new(3);
    for job in 0..3 {
        admit(&queue, &[job]).unwrap();
    }
    assert_eq!(admit(&queue, &[3]), Err(Refused::Full(Load { running: 0, waiting: 3 })));
}

#[test]
fn a_taken_job_uses_its_place_until_it_is_done() {
    let queue = Queue::new(1);
    admit(&queue, &[1]).unwrap();
    let (_, slot) = take(&queue).unwrap();
    assert_eq!(admit(&queue, &[2]), Err(Refused::Full(Load { running: 1, waiting: 0 })));
    drop(slot);
    admit(&queue, &[2]).unwrap();
}

#[test]
fn several_requests_are_admitted_together_or_not_at_all() {
    let queue = Queue::new(3);
    admit(&queue, &[1, 2]).unwrap();
    assert!(admit(&queue, &[3, 4]).is_err());
    assert_eq!(queue.load().waiting, 2);
    admit(&queue, &[3]).unwrap();
}

#[test]
fn an_abandoned_job_gives_its_place_to_a_new_one() {
    let queue = Queue::new(2);
    admit(&queue, &[1, 2]).unwrap();
    admit_unless(&queue, &[3], |job| *job == 1).unwrap();
    assert_eq!(take(&queue).map(|(job, _)| job), Some(2));
    assert_eq!(take(&queue).map(|(job, _)| job), Some(3));
}

#[test]
fn with_too_much_ahead_of_it_a_request_is_refused_although_there_are_places() {
    let queue = Queue::new(9);
    admit(&queue, &[1]).unwrap();
    admit_after(&queue, 1, 2).unwrap();
    assert_eq!(admit_after(&queue, 1, 3), Err(Refused::Full(Load { running: 0, waiting: 2 })));
    queue.admit(1, |ahead| ahead <= 1, |job| *job == 1, drop, |_| vec![vec![3]]).unwrap();
    assert_eq!(queue.load().waiting, 2, "what nobody wants any more has made room");
}

#[tokio::test]
async fn what_a_taker_is_about_to_take_is_not_ahead_of_anything() {
    let queue = Queue::<u32>::new(9);
    let mut taker = Box::pin(queue.take());
    assert!(taker.as_mut().now_or_never().is_none());
    admit(&queue, &[1]).unwrap();
    admit_after(&queue, 0, 2).unwrap();
    assert!(admit_after(&queue, 0, 3).is_err());
}

#[test]
fn whether_one_more_would_be_refused_is_told_without_asking_for_a_place() {
    let queue = Queue::new(2);
    admit(&queue, &[1]).unwrap();
    assert_eq!(queue.full(|_| false), None);
    admit(&queue, &[2]).unwrap();
    assert_eq!(queue.full(|_| false), Some(Load { running: 0, waiting: 2 }));
    assert_eq!(queue.full(|job| *job == 1), None, "its place would be free");
    assert_eq!(queue.load().waiting, 2);
}

#[test]
fn the_jobs_of_one_request_use_one_place_until_the_last_of_them_is_done() {
    let queue = Queue::new(2);
    queue.admit(1, |_| true, |_| false, drop, |_| vec![vec![1, 2]]).unwrap();
    admit(&queue, &[3]).unwrap();
    assert!(admit(&queue, &[4]).is_err());
    let (first, second) = (take(&queue).unwrap(), take(&queue).unwrap());
    drop(first);
    assert!(admit(&queue, &[4]).is_err());
    drop(second);
    admit(&queue, &[4]).unwrap();
}

#[tokio::test]
async fn only_takers_with_nothing_to_do_count_as_idle() {
    let queue = Queue::new(9);
    let idle = |queue: &Queue<u32>| {
        let mut seen = 0;
        let look = |idle| {
            seen = idle;
            Vec::new()
        };
        queue.admit(0, |_| true, |_| false, drop, look).unwrap();
        seen
    };
    let (mut one, mut two) = (Box::pin(queue.take()), Box::pin(queue.take()));
    assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none());
    assert_eq!(idle(&queue), 2);
    admit(&queue, &[1]).unwrap();
    assert_eq!(idle(&queue), 1, "one of them is about to take the job");
    let (_, slot) = one.await.unwrap();
    assert_eq!(idle(&queue), 1);
    drop(two);
    assert_eq!(idle(&queue), 0);
    drop(slot);
}

#[test]
fn a_closed_queue_still_gives_what_it_holds_and_then_ends() {
    let queue = Queue::new(2);
    admit(&queue, &[1]).unwrap();
    queue.close();
    assert_eq!(admit(&queue, &[2]), Err(Refused::Closed));
    assert_eq!(take(&queue).map(|(job, _)| job), Some(1));
    assert!(queue.take().now_or_never().unwrap().is_none());
}
