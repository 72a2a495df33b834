//! What a call carries, or a problem that says what is wrong with it.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use raftduck_model::StoreId;
use serde::de::DeserializeOwned;

use super::problem;

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(refused) => Err(problem(StatusCode::BAD_REQUEST, "bad_request", &refused.body_text())),
        }
    }
}

/// The store that a path names.
pub struct Named(pub StoreId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(store)) => Ok(Self(store)),
            Err(refused) => Err(problem(StatusCode::BAD_REQUEST, "bad_request", &refused.body_text())),
        }
    }
}
