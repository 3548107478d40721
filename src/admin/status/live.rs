//! The sections that change while one looks: rendered into the page, and again by themselves
//! whenever its script asks.
//!
//! Each is an element with an id and `data-live`, by which the script finds what it replaces. Must
//! not know how a report came about.

use std::time::Duration;

use maud::{Markup, html};

use super::chart::{self, bars};
use super::report::{DownloadReport, FailureReport, Period, Report, StaleReport};
use super::upstream_report::UpstreamReport;
use super::words::{counted, grouped, share, time};
use crate::admin::metrics::Served;
use crate::values::byte_size::in_units;

/// All of them, for the script.
pub(super) fn all(report: &Report) -> String {
    let parts = html! {
        (state(report))
        (history(report))
        (upstreams(report))
        (disk(report))
        (downloads(report))
        (stale(report))
        (failures(report))
        (about(report))
    };
    parts.into_string()
}

pub(super) fn state(report: &Report) -> Markup {
    let state = &report.state;
    html! {
        section #state data-live class={ "state " (state.word) } aria-label="State" {
            p.sentence role="status" { span.dot aria-hidden="true" {} (state.sentence) }
            @if state.reasons.len() > 1 {
                ul { @for reason in &state.reasons { li { (reason) } } }
            }
        }
    }
}

pub(super) fn history(report: &Report) -> Markup {
    let history = &report.history;
    html! {
        section #history data-live aria-labelledby="history-title" {
            h2 #history-title { "Answered from the cache" }
            div.periods {
                (period("hour", "Last hour", "minute", &history.hour))
                (period("day", "Last 24 hours", "half hour", &history.day))
                (period("week", "Last 7 days", "day", &history.week))
            }
            p.legend {
                span.key.saved {} "saved: from the store or a shared download "
                span.key.fetched {} "fetched from upstream"
            }
        }
    }
}

fn period(key: &str, title: &str, piece: &str, period: &Period) -> Markup {
    let sum = period.sum;
    let pairs: Vec<(u64, u64)> = period.pieces.iter().map(saved_and_fetched).collect();
    let bars = bars(&pairs);
    let ratio = share(sum.hits, sum.requests).unwrap_or_else(|| "–".to_owned());
    let told = if sum.requests == 0 {
        "No package was asked for.".to_owned()
    } else {
        format!(
            "{} of {} hit. {} sent, {} of it saved. One bar a {piece}.",
            grouped(sum.hits),
            counted(sum.requests, "answer", "answers"),
            in_units(sum.sent_bytes),
            in_units(sum.saved_bytes)
        )
    };
    let described = format!("{key}-told");
    let view = format!("0 0 {} {}", chart::WIDTH, chart::HEIGHT);
    html! {
        div.period {
            h3 { (title) }
            p.figures {
                span.figure { b { (ratio) } " cache hit ratio" }
                span.figure { b { (in_units(sum.saved_bytes)) } " saved" }
            }
            svg role="img" aria-label={ (title) ", bytes sent" } aria-describedby=(described) viewBox=(view)
                preserveAspectRatio="none" {
                path.ground d={ "M0 " (chart::HEIGHT) "h" (chart::WIDTH) } {}
                path.saved d=(bars.lower) {}
                path.fetched d=(bars.upper) {}
            }
            p.told #(described) { (told) }
        }
    }
}

fn saved_and_fetched(counts: &Served) -> (u64, u64) {
    (
        counts.saved_bytes,
        counts.sent_bytes.saturating_sub(counts.saved_bytes),
    )
}

pub(super) fn upstreams(report: &Report) -> Markup {
    html! {
        section #upstreams data-live aria-labelledby="upstreams-title" {
            h2 #upstreams-title { "Upstreams" }
            ul.plain { @for upstream in &report.upstreams { (one_upstream(upstream)) } }
            @if let Some(shared_store) = &report.shared_store {
                p.told { (shared_store.sentence) "." }
            }
        }
    }
}

fn one_upstream(upstream: &UpstreamReport) -> Markup {
    html! {
        li class={ "upstream " (upstream.state) } {
            p { b { (upstream.title) } }
            p { span.dot aria-hidden="true" {} (upstream.sentence) "." }
            @if let Some(words) = &upstream.last_error {
                p.told {
                    "Last error: " (words)
                    @if let Some(seconds) = upstream.last_error_age_seconds {
                        ", " (time(Duration::from_secs(seconds))) " ago"
                    }
                    "."
                }
            }
        }
    }
}

pub(super) fn disk(report: &Report) -> Markup {
    let disk = &report.disk;
    html! {
        section #disk data-live aria-labelledby="disk-title" {
            h2 #disk-title { "Disk" }
            progress aria-label="Used of the budget" max=(disk.budget_bytes) value=(disk.stored_bytes) {}
            p { (disk.sentence) "." }
            dl.facts {
                @if let Some(free) = disk.free_bytes {
                    div { dt { "Free on the disk" } dd { (in_units(free)) } }
                }
                div { dt { "Evicted since start" } dd { (counted(disk.evictions, "file", "files")) } }
                @if let Some(quarantined) = disk.quarantined {
                    div { dt { "Damaged, quarantined" } dd { (counted(quarantined, "file", "files")) } }
                }
            }
        }
    }
}

pub(super) fn downloads(report: &Report) -> Markup {
    let listed = &report.downloads.listed;
    let running = report.downloads.running;
    html! {
        section #downloads data-live aria-labelledby="downloads-title" {
            h2 #downloads-title { "Downloads under way" }
            @if listed.is_empty() {
                p.told { "None at this moment." }
            } @else {
                div.scroll role="region" aria-label="Downloads" tabindex="0" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "What" }
                                th scope="col" { "Progress" }
                                th.number scope="col" { "Speed" }
                                th.number scope="col" { "Readers" }
                            }
                        }
                        tbody { @for download in listed { (one_download(download)) } }
                    }
                }
                @if running > listed.len() {
                    p.told { "And " (counted((running - listed.len()) as u64, "more", "more")) "." }
                }
            }
        }
    }
}

fn one_download(download: &DownloadReport) -> Markup {
    let written = in_units(download.written_bytes);
    html! {
        tr {
            th scope="row" { (download.what) }
            td {
                @match download.size_bytes {
                    Some(bytes) => {
                        progress aria-label="Received" max=(bytes) value=(download.written_bytes) {}
                        span.told { (written) " of " (in_units(bytes)) }
                    }
                    None => span.told { (written) },
                }
            }
            td.number { (in_units(download.bytes_per_second)) "/s" }
            td.number { (grouped(download.readers as u64)) }
        }
    }
}

pub(super) fn stale(report: &Report) -> Markup {
    html! {
        section #stale data-live aria-labelledby="stale-title" {
            h2 #stale-title { "Served stale" }
            @if report.stale.is_empty() {
                p.told { "Nothing in the last five minutes." }
            } @else {
                ul.plain { @for stale in &report.stale { (one_stale(stale)) } }
                p.told { "Served because an upstream failed, only to callers whose authorization still stands." }
            }
            @if !report.past.is_empty() {
                h3 { "Links past larder" }
                ul.plain { @for past in &report.past { li { (past.sentence) "." } } }
                p.told { "Their files are fetched past larder and not cached: the log says where to, larder doctor what to set." }
            }
        }
    }
}

fn one_stale(stale: &StaleReport) -> Markup {
    html! { li { (stale.sentence) "." } }
}

pub(super) fn failures(report: &Report) -> Markup {
    html! {
        section #failures data-live aria-labelledby="failures-title" {
            h2 #failures-title { "Requests that failed last" }
            @if report.failures.is_empty() {
                p.told { "None since larder started." }
            } @else {
                div.scroll role="region" aria-label="Failures" tabindex="0" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Why" }
                                th scope="col" { "What" }
                                th.number scope="col" { "Status" }
                                th.number scope="col" { "Times" }
                                th.number scope="col" { "The last" }
                            }
                        }
                        tbody { @for failure in &report.failures { (one_failure(failure)) } }
                    }
                }
            }
        }
    }
}

fn one_failure(failure: &FailureReport) -> Markup {
    let ago = time(Duration::from_secs(failure.last_seconds_ago));
    html! {
        tr {
            th scope="row" {
                (failure.reason)
                @if let Some(id) = &failure.request_id { p.told.mono { "id=" (id) } }
            }
            td {
                (kind(failure.route))
                @if let Some(upstream) = &failure.upstream { " of " (upstream) }
            }
            td.number { (failure.status) }
            td.number { (grouped(failure.count)) }
            td.number { (ago) " ago" }
        }
    }
}

/// What was asked for.
fn kind(route: &str) -> &str {
    match route {
        "index" => "the list of packages",
        "page" => "a package’s page",
        "file" => "a file",
        "metadata" => "a wheel’s metadata",
        "upload" => "an upload",
        "internal" => "a page of larder’s",
        _ => "an address that is none",
    }
}

pub(super) fn about(report: &Report) -> Markup {
    let span = |seconds: u64| match seconds {
        0 => "not at all".to_owned(),
        _ => time(Duration::from_secs(seconds)),
    };
    html! {
        section #about data-live aria-labelledby="about-title" {
            h2 #about-title { "About this larder" }
            dl.facts {
                div { dt { "Version" } dd { (report.version) } }
                div { dt { "Running for" } dd { (time(Duration::from_secs(report.uptime_seconds))) } }
                div { dt { "Listens on" } dd { (report.listen.join(", ")) } }
                @if !report.offline {
                    div { dt { "Authorization cache, lifetime" } dd { (span(report.rules.auth_cache_ttl_seconds)) } }
                    div { dt { "Pages, lifetime" } dd { (span(report.rules.ttl_seconds)) } }
                    div { dt { "Stale if error" } dd { (span(report.rules.stale_if_error_seconds)) } }
                }
                @if report.upload_dates.told + report.upload_dates.untold + report.upload_dates.queue > 0 {
                    div.wide { dt { "Upload dates" } dd { (report.upload_dates.sentence) } }
                }
                @for age in &report.policies.min_age {
                    div.wide { dt { "Minimum age" } dd { (age.sentence) } }
                }
                @if report.policies.exceptions.in_force + report.policies.exceptions.over.len() > 0 {
                    div.wide { dt { "Exceptions" } dd { (report.policies.exceptions.sentence) } }
                }
                @if let Some(advisories) = &report.policies.advisories {
                    div.wide { dt { "Advisories" } dd { (advisories.sentence) } }
                }
                @for kept_back in &report.policies.kept_back {
                    div.wide { dt { "Kept back" } dd { (kept_back.sentence) } }
                }
                @if !report.projects.sentence.is_empty() {
                    div.wide { dt { "Projects, as their indexes have them" } dd { (report.projects.sentence) } }
                }
                @for view in &report.views {
                    div.wide { dt { "View" } dd { (view.sentence) } }
                }
                div { dt { "Page fetches under way" } dd { (grouped(report.page_fetches)) } }
                div { dt { "Authorization cache, entries" } dd { "about " (grouped(report.auth_cache_entries)) } }
                @for parent in &report.parents {
                    div.wide { dt { "Parent" } dd { (parent.sentence) } }
                }
                @if let Some(index) = &report.public_index {
                    div.wide { dt { "Public index" } dd { (index.sentence) } }
                }
                @if let Some(certificate) = &report.certificate {
                    div.wide { dt { "Certificate" } dd { (certificate.sentence) } }
                }
            }
        }
    }
}
