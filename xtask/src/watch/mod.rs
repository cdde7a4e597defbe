//! The live view of `status --watch`: drawn where there is a terminal, else a line for each change.

mod draw;
mod view;

use std::time::Duration;

use platform::host::Host;
use platform::status::watch::{Change, Scene, changes, watch};
use platform::{Error, Exit, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde::Serialize;
use tokio::sync::{mpsc, watch as channel};

use crate::printer::Printer;
use view::View;

/// A mark of what has just changed goes after a while; that is all that happens by itself.
const TICK: Duration = Duration::from_millis(500);
/// The keyboard is left alone within this time of the end.
const KEYS: Duration = Duration::from_millis(100);

pub async fn run(host: &Host, printer: &Printer) -> Result<Exit> {
    let (scenes, seen) = channel::channel(Scene::default());
    // Before anything is drawn: the error of a profile that is not there is told on the usual screen.
    let watched = watch(host, scenes);
    tokio::pin!(watched);
    tokio::select! {
        ended = &mut watched => ended.map(|()| Exit::Done),
        shown = show(seen, printer) => shown,
    }
}

async fn show(mut seen: channel::Receiver<Scene>, printer: &Printer) -> Result<Exit> {
    if seen.changed().await.is_err() {
        return Ok(Exit::Done);
    }
    if printer.may_draw() { draw_on_terminal(seen).await } else { tell_lines(seen, printer).await }
}

/// One change, for `-o json`.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    #[serde(flatten)]
    change: &'a Change,
}

async fn tell_lines(mut seen: channel::Receiver<Scene>, printer: &Printer) -> Result<Exit> {
    let mut last = Scene::default();
    loop {
        let now = seen.borrow_and_update().clone();
        let time = view::clock();
        for change in changes(&last, &now) {
            if !printer.line(&Line { time: &time, change: &change }, || format!("{time} {change}")) {
                return Ok(Exit::Done);
            }
        }
        last = now;
        if seen.changed().await.is_err() {
            return Ok(Exit::Done);
        }
    }
}

/// The terminal, drawn on; given back however this ends. (ratatui's own hook does so before a panic is told.)
struct Screen(ratatui::DefaultTerminal);

impl Screen {
    fn open() -> Result<Self> {
        let failed = |error| {
            Error::machine(
                format!("the terminal cannot be drawn on: {error}"),
                "pipe it: cargo xtask status --watch | cat",
            )
        };
        ratatui::try_init().map(Self).map_err(failed)
    }

    fn draw(&mut self, view: &View) -> Result<()> {
        let failed = |error| Error::machine(format!("the terminal cannot be drawn on: {error}"), "");
        self.0.draw(|frame| draw::draw(frame, view)).map(drop).map_err(failed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn draw_on_terminal(mut seen: channel::Receiver<Scene>) -> Result<Exit> {
    let mut screen = Screen::open()?;
    let mut view = View::default();
    let mut keys = keys();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        view.look(seen.borrow_and_update().clone());
        screen.draw(&view)?;
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return Ok(Exit::Done) },
            key = keys.recv() => match key {
                // The terminal is in raw mode: Ctrl-C is a key there and no signal.
                Some(Pressed::Interrupt) => return Err(Error::Interrupted),
                Some(Pressed::Redraw) => {}
                Some(Pressed::Quit) | None => return Ok(Exit::Done),
            },
            _ = ticks.tick() => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Pressed {
    Quit,
    Interrupt,
    Redraw,
}

/// The keys that mean something, from a thread of its own: a terminal is read by waiting for it.
fn keys() -> mpsc::Receiver<Pressed> {
    let (send, receive) = mpsc::channel(8);
    std::thread::spawn(move || {
        while !send.is_closed() {
            match event::poll(KEYS) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(_) => return,
            }
            let Ok(event) = event::read() else { return };
            if let Some(pressed) = meaning(&event)
                && send.blocking_send(pressed).is_err()
            {
                return;
            }
        }
    });
    receive
}

fn meaning(event: &Event) -> Option<Pressed> {
    match event {
        Event::Resize(..) => Some(Pressed::Redraw),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => match code {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Pressed::Interrupt),
            KeyCode::Char('q') | KeyCode::Esc => Some(Pressed::Quit),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_ends_the_view_and_ctrl_c_interrupts_it() {
        let key = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Pressed::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Pressed::Interrupt));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Pressed::Redraw));
    }
}
