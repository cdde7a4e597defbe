//! Which endpoint is asked next: of two taken at random the one with less to do.
//!
//! Two choices instead of the least of all: several gateways that each see only their own requests would otherwise all
//! run to the same endpoint at once (Mitzenmacher, "The power of two choices").

/// What the choice knows of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate {
    /// Requests under way to it, more of them where it is suspected of hanging.
    pub load: usize,
    /// When it was last chosen, as a number that grows with each choice.
    pub chosen: u64,
    /// Thrown out after failures.
    pub is_out: bool,
    /// Asked for this request already.
    pub is_tried: bool,
    /// More than one model stands behind its address, so that asking again may lead to another.
    pub is_shared: bool,
}

/// Which endpoints will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Another one; if there is none, one that was tried: the last attempt cost it nothing.
    Any,
    /// Another one.
    Other,
    /// Another one with nothing to do.
    Idle,
}

/// The place of the endpoint to ask. `random` decides which two are compared.
pub fn choose(candidates: &[Candidate], wanted: Wanted, random: u64) -> Option<usize> {
    let within = candidates.iter().filter(|it| !it.is_out).count();
    // With fewer than half left, those would break under the load of all: then what was thrown out is asked as well.
    let panic = within * 2 < candidates.len();
    let is_first = !candidates.iter().any(|it| it.is_tried);
    let untried = |it: &Candidate| !it.is_tried;
    let healthy = |it: &Candidate| untried(it) && (!it.is_out || (panic && is_first));
    let again = |it: &Candidate| match wanted {
        Wanted::Any => true,
        Wanted::Other => it.is_shared,
        Wanted::Idle => false,
    };
    if wanted == Wanted::Idle {
        return of_two(candidates, |it| untried(it) && !it.is_out && it.load == 0, random);
    }
    of_two(candidates, healthy, random)
        .or_else(|| of_two(candidates, untried, random))
        .or_else(|| of_two(candidates, again, random))
}

fn of_two(candidates: &[Candidate], fits: impl Fn(&Candidate) -> bool, random: u64) -> Option<usize> {
    let fitting: Vec<usize> = (0..candidates.len()).filter(|index| fits(&candidates[*index])).collect();
    let count = fitting.len();
    if count < 2 {
        return fitting.first().copied();
    }
    // Two different ones, each pair as likely as any other.
    let below = |bound: usize, random: u64| usize::try_from(random % bound as u64).unwrap_or(0);
    let first = below(count, random >> 32);
    let second = (first + 1 + below(count - 1, random & 0xffff_ffff)) % count;
    // Equally busy: the one that has waited longer, so that one request after the other goes round.
    let load = |index: usize| (candidates[index].load, candidates[index].chosen);
    [fitting[first], fitting[second]].into_iter().min_by_key(|index| load(*index))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random;

    const FREE: Candidate =
        Candidate { load: 0, chosen: 0, is_out: false, is_tried: false, is_shared: false };
    const OUT: Candidate = Candidate { is_out: true, ..FREE };
    const TRIED: Candidate = Candidate { is_tried: true, ..FREE };

    /// All that can be chosen.
    fn possible(candidates: &[Candidate], wanted: Wanted) -> Vec<usize> {
        let mut found: Vec<_> = (0..200).filter_map(|n| choose(candidates, wanted, random::nth(n))).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn the_less_busy_of_two_is_chosen_and_of_equals_the_one_that_waited_longer() {
        assert_eq!(possible(&[Candidate { load: 3, ..FREE }, FREE], Wanted::Any), [1]);
        assert_eq!(possible(&[Candidate { chosen: 9, ..FREE }, FREE], Wanted::Any), [1]);
    }

    #[test]
    fn the_busiest_of_many_is_never_chosen_and_every_other_is() {
        let candidates = [FREE, FREE, Candidate { load: 1, ..FREE }, FREE];
        assert_eq!(possible(&candidates, Wanted::Any), [0, 1, 3]);
    }

    #[test]
    fn what_was_thrown_out_is_not_asked_while_half_are_left() {
        assert_eq!(possible(&[FREE, OUT], Wanted::Any), [0]);
        assert_eq!(possible(&[FREE, OUT, OUT, FREE], Wanted::Any), [0, 3]);
    }

    #[test]
    fn with_fewer_than_half_left_all_are_asked_at_first_and_the_healthy_ones_on_a_retry() {
        assert_eq!(possible(&[FREE, OUT, OUT], Wanted::Any), [0, 1, 2]);
        assert_eq!(possible(&[FREE, Candidate { is_tried: true, ..OUT }, OUT], Wanted::Any), [0]);
    }

    #[test]
    fn a_retry_goes_to_another_endpoint_even_one_that_is_out() {
        assert_eq!(possible(&[TRIED, FREE], Wanted::Any), [1]);
        assert_eq!(possible(&[TRIED, OUT], Wanted::Any), [1]);
    }

    #[test]
    fn a_second_attempt_at_the_same_endpoint_is_made_only_where_it_costs_nothing_or_may_lead_elsewhere() {
        assert_eq!(possible(&[TRIED], Wanted::Any), [0]);
        assert!(possible(&[TRIED], Wanted::Other).is_empty());
        assert_eq!(possible(&[Candidate { is_shared: true, ..TRIED }], Wanted::Other), [0]);
        assert!(possible(&[Candidate { is_shared: true, ..TRIED }], Wanted::Idle).is_empty());
    }

    #[test]
    fn backpressure_goes_on_only_to_an_idle_endpoint() {
        assert_eq!(possible(&[TRIED, FREE, Candidate { load: 1, ..FREE }], Wanted::Idle), [1]);
        assert!(possible(&[TRIED, Candidate { load: 1, ..FREE }, OUT], Wanted::Idle).is_empty());
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        (0_usize..4, 0_u64..4, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(load, chosen, is_out, is_tried, is_shared)| Candidate {
                load,
                chosen,
                is_out,
                is_tried,
                is_shared,
            },
        )
    }

    proptest! {
        #[test]
        fn somebody_is_always_found_and_never_a_tried_one_while_another_is_left(
            candidates in proptest::collection::vec(candidate(), 1..8), random in any::<u64>(),
        ) {
            let chosen = choose(&candidates, Wanted::Any, random).unwrap();
            let untried = candidates.iter().any(|it| !it.is_tried);
            prop_assert_eq!(candidates[chosen].is_tried, !untried);
        }
    }
}
