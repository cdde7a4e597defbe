//! `completions`: what a shell needs to complete this command, also behind `cargo`.

use clap::{Args, CommandFactory, ValueEnum};
use platform::Exit;

use crate::cli::Cli;
use crate::printer::Printer;

/// The program's name in the generated script.
const NAME: &str = "xtask";

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(cargo xtask completions bash)\n  source <(cargo xtask completions zsh)\n  \
                        cargo xtask completions fish | source\n  cargo xtask completions bash > ~/.local/share/bash-completion/completions/xtask"
)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(args: &CompletionsArgs, printer: &Printer) -> Exit {
    let (shell, behind_cargo) = match args.shell {
        Shell::Bash => (clap_complete::Shell::Bash, BASH),
        Shell::Zsh => (clap_complete::Shell::Zsh, ZSH),
        Shell::Fish => (clap_complete::Shell::Fish, FISH),
    };
    let mut command = Cli::command().name(NAME).bin_name(NAME);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    printer.verbatim(&format!("{}\n{behind_cargo}", String::from_utf8_lossy(&script)));
    Exit::Done
}

/// `cargo xtask …` is completed as `xtask …`; whatever else stands behind `cargo`, as before.
const BASH: &str = r#"
_platen_cargo_before=$(complete -p cargo 2>/dev/null | sed -n 's/.*-F \([^ ]*\).*/\1/p')
[ "$_platen_cargo_before" = _platen_cargo ] && _platen_cargo_before=
_platen_cargo() {
    if [[ ${COMP_WORDS[1]} == xtask && $COMP_CWORD -ge 2 ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    elif [[ -n $_platen_cargo_before ]]; then
        "$_platen_cargo_before" "$@"
    fi
}
complete -o nosort -o bashdefault -o default -F _platen_cargo cargo
"#;

const ZSH: &str = r#"
_platen_cargo() {
    if [[ $words[2] == xtask && $CURRENT -gt 2 ]]; then
        shift words
        (( CURRENT-- ))
        _xtask "$@"
    elif (( $+functions[_cargo] )) || autoload -Uz +X _cargo 2>/dev/null; then
        _cargo "$@"
    fi
}
compdef _platen_cargo cargo
"#;

const FISH: &str = r"
function __platen_cargo_xtask
    complete -C (string replace -r '^\s*cargo\s+xtask' 'xtask' -- (commandline -cp))
end
complete -c cargo -n '__fish_seen_subcommand_from xtask' -f -a '(__platen_cargo_xtask)'
";
