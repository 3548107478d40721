//! A configuration that follows another one in the same process: what only a restart changes stays
//! as it was.
//!
//! Pure. Owns which keys these are. Must not know how the others come into force.

use super::Config;

impl Config {
    /// This configuration as it can come into force in a process that runs with `running`, and the
    /// keys that differ and wait for a restart.
    #[must_use]
    pub fn continuing(mut self, running: &Self) -> (Self, Vec<&'static str>) {
        let mut waiting = Vec::new();
        let tls = &mut self.tls;
        let limits = &mut self.limits;
        let stays = [
            ("listen", keep(&mut self.listen, &running.listen)),
            (
                "listen_mode",
                keep(&mut self.listen_mode, &running.listen_mode),
            ),
            (
                "health_listen",
                keep(&mut self.health_listen, &running.health_listen),
            ),
            ("cache_dir", keep(&mut self.cache_dir, &running.cache_dir)),
            ("offline", keep(&mut self.offline, &running.offline)),
            (
                "gitlab.check_at_start",
                keep(
                    &mut self.gitlab.check_at_start,
                    &running.gitlab.check_at_start,
                ),
            ),
            ("tls.listen", keep(&mut tls.listen, &running.tls.listen)),
            (
                "tls.certificate",
                keep(&mut tls.certificate, &running.tls.certificate),
            ),
            ("tls.key", keep(&mut tls.key, &running.tls.key)),
            (
                "tls.min_version",
                keep(&mut tls.min_version, &running.tls.min_version),
            ),
            (
                "limits.connections",
                keep(&mut limits.connections, &running.limits.connections),
            ),
            (
                "limits.connections_per_client",
                keep(
                    &mut limits.connections_per_client,
                    &running.limits.connections_per_client,
                ),
            ),
            (
                "log.format",
                keep(&mut self.log.format, &running.log.format),
            ),
        ];
        for (key, differs) in stays {
            if differs {
                waiting.push(key);
                self.keep_source(key, running);
            }
        }
        (self, waiting)
    }

    /// Where the value that stays was written.
    fn keep_source(&mut self, key: &str, running: &Self) {
        let sources = &mut self.provenance.sources;
        sources.remove(key);
        if let Some(source) = running.provenance.sources.get(key) {
            sources.insert(key.to_owned(), source.clone());
        }
    }
}

/// Sets a value back, and tells whether it was another one.
fn keep<T: Clone + PartialEq>(value: &mut T, running: &T) -> bool {
    let differs = value != running;
    if differs {
        value.clone_from(running);
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogFormat;
    use crate::values::quantity::Size;

    #[test]
    fn what_needs_a_restart_is_named_and_stays_and_the_rest_is_taken() {
        let running = Config::default();
        let mut next = running.clone();
        next.cache_size = Size::gibibytes(1);
        "debug".clone_into(&mut next.log.level);
        next.limits.header_size = Size(8 << 10);
        assert_eq!(
            next.clone().continuing(&running),
            (next.clone(), Vec::new())
        );
        let wanted = next.clone();
        "elsewhere".clone_into(&mut next.cache_dir);
        next.offline = true;
        next.log.format = LogFormat::Json;
        next.limits.connections += 1;
        "key.pem".clone_into(&mut next.tls.key);
        let waiting = vec![
            "cache_dir",
            "offline",
            "tls.key",
            "limits.connections",
            "log.format",
        ];
        assert_eq!(next.continuing(&running), (wanted, waiting));
    }
}
