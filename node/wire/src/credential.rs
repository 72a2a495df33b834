//! The per-cluster credential that every call to a store carries.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

const HEADER: &str = "authorization";
const SCHEME: &str = "Bearer ";

/// A secret shared by a cluster's stores and controls. Its text appears in no log.
#[derive(Clone)]
pub struct Credential(Arc<str>);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl Credential {
    /// The credential with this text; white space around it is dropped, as files end in newlines.
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// Whether `text` is the credential, in a time that does not depend on where it differs.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// Adds the credential to a call's metadata.
    pub fn add_to(&self, metadata: &mut MetadataMap) -> Result<(), Status> {
        let value = format!("{SCHEME}{}", self.0);
        let value = value.parse().map_err(|_| Status::internal("the cluster token holds bytes that no header may"))?;
        metadata.insert(HEADER, value);
        Ok(())
    }

    /// Refuses a call that does not carry the credential.
    pub fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let sent =
            metadata.get(HEADER).and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix(SCHEME));
        match sent {
            Some(text) if self.is(text) => Ok(()),
            Some(_) => Err(Status::unauthenticated("wrong cluster token")),
            None => Err(Status::unauthenticated("no cluster token: give every worker and control the same one")),
        }
    }
}

/// Puts the credential on every call of a client.
#[derive(Clone, Debug)]
pub struct OnCalls(pub Credential);

impl Interceptor for OnCalls {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.0.add_to(request.metadata_mut())?;
        Ok(request)
    }
}

/// Lets only calls with the credential into a service.
#[derive(Clone, Debug)]
pub struct OnService(pub Credential);

impl Interceptor for OnService {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        self.0.check(request.metadata())?;
        Ok(request)
    }
}
