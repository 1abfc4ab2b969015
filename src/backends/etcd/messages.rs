//! The messages of etcd's API that this backend sends and understands.
//!
//! Written by hand, with the fields in use alone, so that no build needs the program `protoc`. The numbers are those of
//! `etcdserverpb/rpc.proto`, `mvccpb/kv.proto` and never change. A field that is not listed is ignored.

/// Each line is a field: name, type, what the API calls the type, and number.
macro_rules! messages {
    ($(
        $(#[$about:meta])*
        $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = [$($kind:tt)+] $tag:tt,)+ }
    )+) => {$(
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, prost::Message)]
        pub(super) struct $name {
            $($(#[$doc])* #[prost($($kind)+, tag = $tag)] pub(super) $field: $type,)+
        }
    )+};
}

messages! {
    Header {
        /// The revision of the store: in the answer to a write, that of the write.
        revision: i64 = [int64] "3",
    }

    KeyValue {
        key: Vec<u8> = [bytes = "vec"] "1",
        create_revision: i64 = [int64] "2",
        mod_revision: i64 = [int64] "3",
        /// How often the key was written since it was created.
        version: i64 = [int64] "4",
        value: Vec<u8> = [bytes = "vec"] "5",
    }

    RangeRequest {
        key: Vec<u8> = [bytes = "vec"] "1",
        /// The first key that is not meant; empty for a single key.
        range_end: Vec<u8> = [bytes = "vec"] "2",
        /// The largest number of keys; zero for all.
        limit: i64 = [int64] "3",
        keys_only: bool = [bool] "8",
        count_only: bool = [bool] "9",
    }

    RangeResponse {
        header: Option<Header> = [message, optional] "1",
        kvs: Vec<KeyValue> = [message, repeated] "2",
        /// More keys are in the range than the limit.
        more: bool = [bool] "3",
        count: i64 = [int64] "4",
    }

    PutRequest {
        key: Vec<u8> = [bytes = "vec"] "1",
        value: Vec<u8> = [bytes = "vec"] "2",
    }

    DeleteRequest {
        key: Vec<u8> = [bytes = "vec"] "1",
        /// The first key that is not meant; empty for a single key.
        range_end: Vec<u8> = [bytes = "vec"] "2",
    }

    /// One of these.
    RequestOp {
        range: Option<RangeRequest> = [message, optional] "1",
        put: Option<PutRequest> = [message, optional] "2",
        delete: Option<DeleteRequest> = [message, optional] "3",
    }

    ResponseOp {
        range: Option<RangeResponse> = [message, optional] "1",
    }

    /// A condition: that `target` of the key equals the one value that is set.
    Compare {
        /// See the constants.
        target: i32 = [int32] "2",
        key: Vec<u8> = [bytes = "vec"] "3",
        create_revision: Option<i64> = [int64, optional] "5",
        mod_revision: Option<i64> = [int64, optional] "6",
    }

    TxnRequest {
        compare: Vec<Compare> = [message, repeated] "1",
        success: Vec<RequestOp> = [message, repeated] "2",
        failure: Vec<RequestOp> = [message, repeated] "3",
    }

    TxnResponse {
        header: Option<Header> = [message, optional] "1",
        succeeded: bool = [bool] "2",
        responses: Vec<ResponseOp> = [message, repeated] "3",
    }

    AuthenticateRequest {
        name: String = [string] "1",
        password: String = [string] "2",
    }

    AuthenticateResponse {
        token: String = [string] "2",
    }

    WatchCreate {
        key: Vec<u8> = [bytes = "vec"] "1",
        range_end: Vec<u8> = [bytes = "vec"] "2",
        start_revision: i64 = [int64] "3",
        progress_notify: bool = [bool] "4",
        /// The number of the watch on its stream; zero if etcd may choose.
        watch_id: i64 = [int64] "7",
    }

    WatchCancel {
        watch_id: i64 = [int64] "1",
    }

    /// One of these.
    WatchRequest {
        create: Option<WatchCreate> = [message, optional] "1",
        cancel: Option<WatchCancel> = [message, optional] "2",
    }

    WatchResponse {
        watch_id: i64 = [int64] "2",
        created: bool = [bool] "3",
        canceled: bool = [bool] "4",
        /// Not zero if the revision from which to watch does not exist any more.
        compact_revision: i64 = [int64] "5",
        cancel_reason: String = [string] "6",
        events: Vec<Event> = [message, repeated] "11",
    }

    Event {
        kind: i32 = [int32] "1",
        /// The new state. Of a deletion, the key and the revision alone.
        kv: Option<KeyValue> = [message, optional] "2",
    }
}

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

#[cfg(test)]
impl KeyValue {
    /// A key that was created at revision 7, and written for the third time at revision 9.
    pub(super) fn example(key: &str, value: impl Into<Vec<u8>>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self { key, create_revision: 7, mod_revision: 9, version: 3, value }
    }
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

impl Event {
    const DELETE: i32 = 1;

    pub(super) const fn is_deletion(&self) -> bool {
        self.kind == Self::DELETE
    }
}
