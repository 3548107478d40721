//! What joins the log lines of one request: its own id, the id that upstream gave it, and the id of
//! the request whose download or page load it shares.
//!
//! It goes along with the work, not through every signature: a task-local that the server sets,
//! that the starter of a task hands on with [`carried`] or [`spawn_blocking`], that `log` puts on
//! every line and `upstream` reads when it sends. Nothing depends on it but logs and the headers
//! `X-Request-Id` and `Via`. Must not know who asks whom.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::values::request_id::RequestId;

tokio::task_local! {
    static CURRENT: Arc<Correlation>;
}

#[derive(Debug)]
pub struct Correlation {
    id: RequestId,
    /// The larders that the request came through, as `Via` names them.
    via: Option<String>,
    others: Mutex<Others>,
}

/// Other ids under which a request is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// What upstream called the last request that was sent to it for this one.
    pub upstream: Option<RequestId>,
    /// The request that began what this one reads along with.
    pub shared: Option<RequestId>,
}

impl Correlation {
    pub fn new(id: RequestId) -> Arc<Self> {
        Self::received(id, None)
    }

    /// Of a request that came through these larders.
    pub fn received(id: RequestId, via: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            id,
            via,
            others: Mutex::default(),
        })
    }

    pub fn via(&self) -> Option<String> {
        self.via.clone()
    }

    pub fn id(&self) -> &RequestId {
        &self.id
    }

    pub fn others(&self) -> Others {
        self.others.lock().clone()
    }

    /// Upstream called it so.
    pub fn answered_as(&self, id: RequestId) {
        if id != self.id {
            self.others.lock().upstream = Some(id);
        }
    }

    /// It reads along with what another request began.
    pub fn shares(&self, begun_by: &Self) {
        self.others.lock().shared = Some(begun_by.id.clone());
    }
}

/// Does something for a request.
pub fn scope<F: Future>(correlation: Arc<Correlation>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(correlation, work)
}

/// The request that something is done for, if it is done for one.
pub fn current() -> Option<Arc<Correlation>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Work for the request that it is made in, in whatever task: work handed to a task of its own goes
/// through here.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = current();
    async move {
        match current {
            Some(current) => CURRENT.scope(current, work).await,
            None => work.await,
        }
    }
}

/// Work on a blocking thread, for the request that it is started in.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let current = current();
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    tokio::task::spawn_blocking(move || match current {
        Some(current) => CURRENT.sync_scope(current, work),
        None => work(),
    })
}

/// Does something for a request, at once.
pub fn within<T>(correlation: &Arc<Correlation>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(Arc::clone(correlation), work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_is_for_the_request_that_started_it() {
        assert!(current().is_none());
        let request = Correlation::new(RequestId::random());
        let id = || async { current().map(|current| current.id().clone()) };
        let seen = scope(Arc::clone(&request), async {
            let bare = tokio::task::JoinSet::from_iter([id()]).join_all().await;
            let carried = tokio::task::JoinSet::from_iter([carried(id())])
                .join_all()
                .await;
            (bare, carried)
        });
        assert_eq!(seen.await, (vec![None], vec![Some(request.id().clone())]));
    }

    #[tokio::test]
    async fn work_on_a_blocking_thread_is_for_the_request_too() {
        let request = Correlation::new(RequestId::random());
        let id = || current().map(|current| current.id().clone());
        let work = async { spawn_blocking(id).await };
        let found = scope(Arc::clone(&request), work).await;
        assert_eq!(found.ok().flatten().as_ref(), Some(request.id()));
        assert_eq!(within(&request, id).as_ref(), Some(request.id()));
        assert_eq!(spawn_blocking(id).await.ok().flatten(), None);
    }

    #[test]
    fn an_upstream_that_takes_our_id_over_has_given_none() {
        let request = Correlation::new(RequestId::random());
        request.answered_as(request.id().clone());
        assert_eq!(request.others(), Others::default());
        let other = RequestId::random();
        request.answered_as(other.clone());
        request.shares(&Correlation::new(other.clone()));
        assert_eq!(
            request.others(),
            Others {
                upstream: Some(other.clone()),
                shared: Some(other)
            }
        );
    }
}
