//! The messages of etcd's API that this backend sends and understands.
//!
//! Written by hand, with the fields in use alone, so that no build needs the program `protoc`. The numbers are those of
//! `etcdserverpb/rpc.proto`, `mvccpb/kv.proto` and never change. A field that is not listed is ignored.

/// A request that has one answer.
pub(super) trait Query: prost::Message + Clone + 'static {
    type Answer: prost::Message + Default + 'static;
    /// The call of etcd's API that has this request.
    const CALL: &'static str;
}

impl Query for RangeRequest {
    type Answer = RangeResponse;
    const CALL: &'static str = "/etcdserverpb.KV/Range";
}

impl Query for TxnRequest {
    type Answer = TxnResponse;
    const CALL: &'static str = "/etcdserverpb.KV/Txn";
}

impl Query for AuthenticateRequest {
    type Answer = AuthenticateResponse;
    const CALL: &'static str = "/etcdserverpb.Auth/Authenticate";
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Header {
    /// The revision of the store: in the answer to a write, that of the write.
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub(super) create_revision: i64,
    #[prost(int64, tag = "3")]
    pub(super) mod_revision: i64,
    /// How often the key was written since it was created.
    #[prost(int64, tag = "4")]
    pub(super) version: i64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) value: Vec<u8>,
}

#[cfg(test)]
impl KeyValue {
    /// A key that was created at revision 7, and written for the third time at revision 9.
    pub(super) fn example(key: &str, value: impl Into<Vec<u8>>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self { key, create_revision: 7, mod_revision: 9, version: 3, value }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// The first key that is not meant; empty for a single key.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    /// The largest number of keys; zero for all.
    #[prost(int64, tag = "3")]
    pub(super) limit: i64,
    #[prost(bool, tag = "8")]
    pub(super) keys_only: bool,
    #[prost(bool, tag = "9")]
    pub(super) count_only: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub(super) kvs: Vec<KeyValue>,
    /// More keys are in the range than the limit.
    #[prost(bool, tag = "3")]
    pub(super) more: bool,
    #[prost(int64, tag = "4")]
    pub(super) count: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct DeleteRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// The first key that is not meant; empty for a single key.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
}

/// One of these.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RequestOp {
    #[prost(message, optional, tag = "1")]
    pub(super) range: Option<RangeRequest>,
    #[prost(message, optional, tag = "2")]
    pub(super) put: Option<PutRequest>,
    #[prost(message, optional, tag = "3")]
    pub(super) delete: Option<DeleteRequest>,
}

impl RequestOp {
    pub(super) fn read(range: RangeRequest) -> Self {
        Self { range: Some(range), ..Self::default() }
    }

    pub(super) fn count(range: RangeRequest) -> Self {
        Self::read(RangeRequest { count_only: true, ..range })
    }

    pub(super) fn put(key: impl Into<Vec<u8>>, value: Vec<u8>) -> Self {
        Self { put: Some(PutRequest { key: key.into(), value }), ..Self::default() }
    }

    pub(super) fn delete(key: impl Into<Vec<u8>>, range_end: impl Into<Vec<u8>>) -> Self {
        let (key, range_end) = (key.into(), range_end.into());
        Self { delete: Some(DeleteRequest { key, range_end }), ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ResponseOp {
    #[prost(message, optional, tag = "1")]
    pub(super) range: Option<RangeResponse>,
}

impl TxnResponse {
    /// What the first request of the transaction has read.
    pub(super) fn found(self) -> Option<RangeResponse> {
        self.responses.into_iter().next()?.range
    }
}

/// The revision of the store that an answer states.
pub(super) fn revision(header: Option<&Header>) -> i64 {
    header.map(|header| header.revision).unwrap_or_default()
}

/// A condition: that `target` of the key equals the one value that is set.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Compare {
    /// See the constants.
    #[prost(int32, tag = "2")]
    pub(super) target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) key: Vec<u8>,
    #[prost(int64, optional, tag = "5")]
    pub(super) create_revision: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    pub(super) mod_revision: Option<i64>,
}

impl Compare {
    const CREATE: i32 = 1;
    const MOD: i32 = 2;

    /// The key was created at `revision`, or does not exist if that is zero.
    pub(super) fn created(key: &[u8], revision: i64) -> Self {
        let create_revision = Some(revision);
        Self { target: Self::CREATE, key: key.into(), create_revision, mod_revision: None }
    }

    /// The key was last written at `revision`.
    pub(super) fn modified(key: &[u8], revision: i64) -> Self {
        let mod_revision = Some(revision);
        Self { target: Self::MOD, key: key.into(), create_revision: None, mod_revision }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) success: Vec<RequestOp>,
    #[prost(message, repeated, tag = "3")]
    pub(super) failure: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(bool, tag = "2")]
    pub(super) succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub(super) responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) password: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct AuthenticateResponse {
    #[prost(string, tag = "2")]
    pub(super) token: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WatchCreate {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) start_revision: i64,
    #[prost(bool, tag = "4")]
    pub(super) progress_notify: bool,
    /// The number of the watch on its stream; zero if etcd may choose.
    #[prost(int64, tag = "7")]
    pub(super) watch_id: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WatchCancel {
    #[prost(int64, tag = "1")]
    pub(super) watch_id: i64,
}

/// One of these.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) create: Option<WatchCreate>,
    #[prost(message, optional, tag = "2")]
    pub(super) cancel: Option<WatchCancel>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WatchResponse {
    #[prost(int64, tag = "2")]
    pub(super) watch_id: i64,
    #[prost(bool, tag = "3")]
    pub(super) created: bool,
    #[prost(bool, tag = "4")]
    pub(super) canceled: bool,
    /// Not zero if the revision from which to watch does not exist any more.
    #[prost(int64, tag = "5")]
    pub(super) compact_revision: i64,
    #[prost(string, tag = "6")]
    pub(super) cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<Event>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Event {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    /// The new state. Of a deletion, the key and the revision alone.
    #[prost(message, optional, tag = "2")]
    pub(super) kv: Option<KeyValue>,
}

impl Event {
    const DELETE: i32 = 1;

    pub(super) const fn is_deletion(&self) -> bool {
        self.kind == Self::DELETE
    }
}
