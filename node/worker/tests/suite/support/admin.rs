//! Calls of the workers' HTTP endpoints.

use super::{TOKEN, Workers, eventually};

impl Workers {
    /// One call to a store's admin endpoints.
    pub async fn admin(&self, store: usize, method: reqwest::Method, path: &str) -> (u16, String) {
        self.admin_with(store, method, path, None).await
    }

    /// The same, with a JSON body.
    pub async fn admin_with(
        &self,
        store: usize,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, String) {
        let (status, _, text) = self.call(store, method, path, body, true).await;
        (status, text)
    }

    /// The same, with the cluster's token or without: the status, the content type, the text.
    pub async fn call(
        &self,
        store: usize,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
        token: bool,
    ) -> (u16, String, String) {
        let url = format!("http://{}/admin/v1/{path}", self.0[store].address);
        let client = reqwest::Client::new();
        let send = async || {
            let mut request = client.request(method.clone(), &url);
            if token {
                request = request.bearer_auth(TOKEN);
            }
            body.iter().fold(request, |request, body| request.json(body)).send().await
        };
        let response = eventually(send).await;
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.unwrap())
    }

    /// Waits until a store would be permitted to restart: a new leader has not heard of every follower yet.
    pub async fn wait_permit(&self, through: usize, store: usize) {
        let path = format!("stores/{}/restart-permit", self.id(store).await);
        eventually(async || match self.admin(through, reqwest::Method::POST, &path).await {
            (204, _) => Ok(()),
            (_, text) => Err(text),
        })
        .await;
        assert_eq!(self.admin(through, reqwest::Method::DELETE, &path).await.0, 204);
    }

    pub async fn log_length(&self, store: usize, group: u32) -> u64 {
        let url = format!("http://{}/metrics", self.0[store].address);
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let line = format!("raft_log_length{{group=\"{group}\"}} ");
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("no {line}in {text}")).parse().unwrap()
    }
}
