//! Why the scheduler finds no node: its message, item by item, in words.

/// Turns `0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint {k: v}. preemption: …` into
/// "2 nodes have too little free cpu, 1 node has the taint k=v". A message of another form is given as it is.
pub(super) fn reasons(message: &str) -> String {
    let Some((_, list)) = message.split_once("available: ") else { return super::short(message) };
    // What follows the list is about claims and preemption: no reasons, but why nothing helps.
    let list = list.split(". ").next().unwrap_or(list).trim_end_matches(['.', ' ']);
    list.split(", ").map(reason).collect::<Vec<_>>().join(", ")
}

fn reason(item: &str) -> String {
    let (count, what) = match item.split_once(' ') {
        Some((count, what)) if count.bytes().all(|b| b.is_ascii_digit()) => (count, what),
        _ => return item.to_owned(),
    };
    let what = what.trim_start_matches("node(s) ");
    let (nodes, has) = if count == "1" { ("node", "has") } else { ("nodes", "have") };
    let (is, does) = if count == "1" { ("is", "does not") } else { ("are", "do not") };
    if let Some(resource) = what.strip_prefix("Insufficient ") {
        return format!("{count} {nodes} {has} too little free {resource}");
    }
    if let Some((_, taint)) = what.split_once("untolerated taint") {
        let taint = taint.trim_start_matches("(s)").trim().trim_matches(['{', '}']);
        let taint = taint.trim_end_matches([':', ' ']).replace(": ", "=");
        return format!("{count} {nodes} {has} the taint {taint}");
    }
    match what {
        "Too many pods" => format!("{count} {nodes} {is} full of pods"),
        "were unschedulable" => format!("{count} {nodes} {is} cordoned"),
        "didn't match pod topology spread constraints" => {
            format!("{count} {nodes} would hold more than an even share of these pods")
        }
        "didn't match Pod's node affinity/selector" => {
            format!("{count} {nodes} {does} have the labels it asks for")
        }
        "didn't match pod anti-affinity rules" => {
            format!("{count} {nodes} {has} a pod it must stay apart from")
        }
        "didn't have free ports for the requested pod ports" => {
            format!("{count} {nodes} {has} its host port in use")
        }
        other => format!("{count} {nodes}: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_of_the_schedulers_message_is_put_in_words() {
        let message = "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, \
                       1 node(s) didn't match pod topology spread constraints, 2 Insufficient cpu. preemption: 0/4 nodes \
                       are available: 2 No preemption victims found for incoming pod.";
        assert_eq!(
            reasons(message),
            "1 node has the taint node-role.kubernetes.io/control-plane, 1 node would hold more than an even share of \
             these pods, 2 nodes have too little free cpu"
        );
    }

    #[test]
    fn what_the_scheduler_says_of_claims_and_preemption_is_no_reason() {
        let message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                       available: 1 Preemption is not helpful for scheduling.";
        assert_eq!(reasons(message), "1 node has too little free cpu");
    }

    #[test]
    fn a_taint_keeps_its_value_in_the_new_wording_too() {
        let message = "0/1 nodes are available: 1 node(s) had untolerated taint(s) {dedicated: gpu}.";
        assert_eq!(reasons(message), "1 node has the taint dedicated=gpu");
    }

    #[test]
    fn an_unknown_message_is_given_as_it_is() {
        assert_eq!(reasons("no nodes available to schedule pods"), "no nodes available to schedule pods");
        assert_eq!(
            reasons("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
            "pod has unbound immediate PersistentVolumeClaims"
        );
    }
}
