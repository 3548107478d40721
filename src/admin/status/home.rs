//! The page at `/-/`: how larder is, and how to use it.
//!
//! Works without its script: then it is a picture of one moment, and lines are copied by hand. Must
//! not know HTTP.

use maud::{Markup, html};

use super::frame::frame;
use super::live;
use super::report::Report;
use super::setup::{Choice, Step, Tool};
use crate::registry::{Scope, ScopeKind};

pub(super) fn home(report: &Report, choice: &Choice, tools: &[Tool], mirrors: &[Scope]) -> String {
    let main = html! {
        h1.hidden { "larder’s status" }
        p #lost .lost hidden role="alert" {}
        (live::state(report))
        (live::history(report))
        div.columns {
            section #setup aria-labelledby="setup-title" {
                h2 #setup-title { "Set me up" }
                (chooser(choice, mirrors))
                (lines(choice, tools))
            }
            div.side {
                (live::upstreams(report))
                (live::disk(report))
                (live::stale(report))
            }
        }
        (live::failures(report))
        (live::downloads(report))
        (finder(mirrors))
        (live::about(report))
        p.told { a href="status" { "The same as JSON" } " · " a href="metrics" { "Metrics" } }
    };
    frame("larder", "./", &main)
}

/// Which index it is to be.
fn chooser(choice: &Choice, mirrors: &[Scope]) -> Markup {
    let is_mirror = choice.kind == ScopeKind::Mirror;
    html! {
        form #choose .fields method="get" action="./" {
            (kinds("choose-kind", choice, mirrors))
            p.field {
                label for="choose-id" { "Its ID or path" }
                input #choose-id name="id" value=[Some(&choice.id).filter(|_| !is_mirror)] placeholder="42 or acme/widgets"
                    autocomplete="off" spellcheck="false" aria-describedby="choose-fault";
            }
            p.field { button { "Show" } }
        }
    }
}

fn kinds(id: &str, choice: &Choice, mirrors: &[Scope]) -> Markup {
    let word = choice.word();
    html! {
        p.field {
            label for=(id) { "Packages of" }
            select #(id) name="kind" {
                option value="project" selected[word == "project"] { "a project" }
                option value="group" selected[word == "group"] { "a group" }
                @for mirror in mirrors {
                    option value={ "mirror/" (mirror) } selected[choice.scope() == mirror] { "the mirror " (mirror) }
                }
            }
        }
    }
}

fn lines(choice: &Choice, tools: &[Tool]) -> Markup {
    html! {
        div #lines {
            p.fault #choose-fault { @if let Some(fault) = choice.fault { "Not understood: " (fault) "." } }
            fieldset.tabs {
                legend.hidden { "Tool" }
                @for (number, tool) in tools.iter().enumerate() {
                    input #{ "tool-" (tool.key) } type="radio" name="tool" value=(tool.key) checked[number == 0];
                    label for={ "tool-" (tool.key) } { (tool.name) }
                }
                @for tool in tools {
                    div.panel #{ "panel-" (tool.key) } {
                        @for (number, step) in tool.steps.iter().enumerate() { (one_step(tool, number, step)) }
                    }
                }
            }
        }
    }
}

fn one_step(tool: &Tool, number: usize, step: &Step) -> Markup {
    let id = format!("{}-{number}", tool.key);
    html! {
        div.step {
            p { (step.what) }
            @if let Some(lines) = &step.lines {
                div.copyable {
                    pre #(id) { code { (lines) } }
                    button type="button" data-copy=(id) aria-label={ "Copy: " (step.what) } { "Copy" }
                }
            }
        }
    }
}

/// Leads to a project's page.
fn finder(mirrors: &[Scope]) -> Markup {
    let Some(nothing) = Choice::read(None, None, mirrors) else {
        return html! {};
    };
    html! {
        section #find aria-labelledby="find-title" {
            h2 #find-title { "Look at a package" }
            p.told { "Shown only to whom GitLab lets read it: your browser may ask for your user name and a token." }
            form.fields method="get" action="find" {
                (kinds("find-kind", &nothing, mirrors))
                p.field {
                    label for="find-id" { "ID or path, unless a mirror" }
                    input #find-id name="id" placeholder="42 or acme/widgets" autocomplete="off" spellcheck="false";
                }
                p.field {
                    label for="find-name" { "Package" }
                    input #find-name name="name" required autocomplete="off" spellcheck="false" autocapitalize="none";
                }
                p.field { button { "Look" } }
            }
        }
    }
}
