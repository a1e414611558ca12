//! Structured logs: pretty on a terminal, JSON lines otherwise, always on standard error.
//!
//! `RUST_LOG` chooses what is told; the default is `info`, which is what an operator acts on. Whatever
//! it chooses, s3s tells nothing: it would print object names.

use std::io::IsTerminal;
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, registry};

/// How lines look.
enum Style {
    /// For people.
    Pretty,
    /// For machines: JSON.
    Lines,
}

/// Starts logging for the life of the process.
pub(crate) fn start() {
    // sled and openraft narrate themselves at info; an operator acts on warnings of theirs.
    let default = "info,sled=warn,openraft=warn";
    let chosen = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let style = if std::io::stderr().is_terminal() {
        Style::Pretty
    } else {
        Style::Lines
    };
    subscriber(chosen, style, std::io::stderr).init();
}

fn subscriber<W>(chosen: EnvFilter, style: Style, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    let layer = match style {
        Style::Pretty => layer.boxed(),
        Style::Lines => layer.json().boxed(),
    };
    registry()
        .with(chosen)
        .with(layer.with_filter(filter_fn(gateway::may_log)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// No line tells what s3s would tell, however specific the wish for it.
    /// Method: each wish; events and spans of s3s, and an event of ours inside one, in both styles.
    #[test]
    fn s3s_tells_nothing() {
        for wish in [
            "trace",
            "s3s=trace,info",
            "s3s::ops=debug,s3s=off,info",
            "info,[prepare]=trace",
        ] {
            for style in [Style::Pretty, Style::Lines] {
                let written = Written::default();
                let writer = written.clone();
                let subscriber = subscriber(EnvFilter::new(wish), style, move || writer.clone());
                tracing::subscriber::with_default(subscriber, || {
                    let inside =
                        tracing::error_span!(target: "s3s::ops", "prepare", key = "a name");
                    let _entered = inside.enter();
                    tracing::error!(target: "s3s::ops", key = "a name", "failed");
                    tracing::error!(target: "s3s", "a name");
                    tracing::error!(target: "s3s_sigv4", "a name");
                    tracing::info!(target: "strongroom", "told");
                });
                let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
                assert!(text.contains("told"), "{wish}: {text}");
                assert!(!text.contains("a name"), "{wish}: {text}");
            }
        }
    }
}
