//! One character for each that looks the same: full-width forms, unit ligatures, spaces that cannot be seen.

/// `text` with full-width characters, compatibility units and odd spaces replaced, in lower case.
pub fn characters(text: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            // Square units of the CJK compatibility block, which Korean keyboards offer.
            '㎎' => out.extend("mg".chars()),
            '㎏' => out.extend("kg".chars()),
            '㎍' => out.extend("ug".chars()),
            '㎈' => out.extend("cal".chars()),
            '㎉' => out.extend("kcal".chars()),
            '㎖' => out.extend("ml".chars()),
            'µ' | 'μ' => out.push('u'),
            '，' | '、' | '٬' => out.push(','),
            '。' | '．' => out.push('.'),
            '\u{ff01}'..='\u{ff5e}' => {
                out.extend(
                    char::from_u32(u32::from(character) - 0xfee0).map(|plain| plain.to_ascii_lowercase()),
                );
            }
            _ if character.is_whitespace() => out.push(' '),
            _ => out.push(character.to_ascii_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_characters_and_unit_ligatures_become_plain_ones() {
        let normal: String =
            characters("나트륨　１，４８０㎎（７４％） 505㎉\u{200b}\n").into_iter().collect();
        assert_eq!(normal, "나트륨 1,480mg(74%) 505kcal ");
    }
}
