//! An operator's process that can be ended after any of its writes, as `kill -9` would: what was written stays, and
//! nobody reads the answer.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use parking_lot::Mutex;
use raftduck_operator::backoff::Backoffs;
use raftduck_operator::metrics::Metrics;
use raftduck_operator::names::Namespace;
use raftduck_operator::reconcile::{Context, Pace};
use raftduck_operator::run::act;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tower::{Layer, Service};

/// How many writes an operator still has.
#[derive(Clone, Default)]
pub struct Budget(Arc<Inner>);

#[derive(Default)]
struct Inner {
    left: Mutex<Option<usize>>,
    last: Mutex<Option<String>>,
    over: Notify,
}

impl Budget {
    /// From now on that many; any number where none.
    pub fn grant(&self, writes: Option<usize>) {
        *self.0.left.lock() = writes;
        *self.0.last.lock() = None;
    }

    /// The write after which it ended.
    pub fn last(&self) -> Option<String> {
        self.0.last.lock().clone()
    }

    /// Resolves once the writes are used up.
    pub async fn over(&self) {
        self.0.over.notified().await;
    }

    /// One write has happened; does not return where it was the last.
    pub async fn wrote(&self, what: &str) {
        let over = {
            let mut left = self.0.left.lock();
            match left.as_mut() {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    *left == 0
                }
                None => false,
            }
        };
        if over {
            self.0.last.lock().get_or_insert_with(|| what.to_owned());
            self.0.over.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone)]
struct Counting(Budget);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted { inner, budget: self.0.clone() }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    budget: Budget,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send,
    S::Future: Send + 'static,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Events change nothing.
        let writes = request.method() != Method::GET && !request.uri().path().contains("/events");
        let what = format!("{} {}", request.method(), request.uri().path());
        let budget = self.budget.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if writes {
                budget.wrote(&what).await;
            }
            answer
        })
    }
}

/// A running operator.
pub struct Operator {
    task: JoinHandle<()>,
    _end: watch::Sender<bool>,
}

impl Operator {
    /// Starts one that looks at one namespace, of the release that brought that revision of the pods' template.
    pub async fn start(namespace: &str, store_port: u16, newest_template: i32, budget: &Budget) -> Self {
        let config = Config::infer().await.unwrap();
        let builder = ClientBuilder::try_from(config).unwrap();
        let client: Client = builder.with_layer(&Counting(budget.clone())).build();
        let reporter = Reporter { controller: "raftduck-operator".into(), instance: Some("test".into()) };
        let watched = Namespace::new(namespace).unwrap();
        let context = Context {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            store_port,
            pace: Pace { soon: Duration::from_millis(50), later: Duration::from_millis(200) },
            newest_template,
            namespace: watched.clone(),
            backoffs: Backoffs::default(),
            metrics: Metrics::new().unwrap(),
        };
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(act(Arc::new(context), vec![watched], ended));
        Self { task, _end: end }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}
