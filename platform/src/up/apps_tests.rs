//! What a deploy says where it has no way of its own.

use super::*;

#[test]
fn where_helm_delivers_its_own_way_back_is_named() {
    let error = kept_by_helm("kind-platen");
    let hint = error.hint().unwrap();
    assert!(hint.contains("helm --kube-context kind-platen -n ocr rollback ocr "), "{hint}");
}
