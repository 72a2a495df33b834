//! Statements that were parsed and checked before, by their text and the catalog they were checked against.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

/// What one entry takes beyond what it says itself: two keys' places, counters, pointers.
const ENTRY_OVERHEAD: usize = 256;

/// A value that says how much memory it holds.
pub(super) trait Weighed {
    /// In bytes.
    fn bytes(&self) -> usize;
}

/// Values by text and catalog version; the one not used for longest goes first when they exceed their bytes.
pub(super) struct Cache<V> {
    limit_bytes: usize,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    entries: HashMap<Arc<str>, Entry<V>>,
    /// By when they were used last.
    order: BTreeMap<u64, Arc<str>>,
    clock: u64,
    bytes: usize,
}

struct Entry<V> {
    catalog_version: u64,
    value: Arc<V>,
    bytes: usize,
    used: u64,
}

impl<V: Weighed> Cache<V> {
    /// An empty one that holds at most `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        let inner = Inner { entries: HashMap::new(), order: BTreeMap::new(), clock: 0, bytes: 0 };
        Self { limit_bytes, inner: Mutex::new(inner) }
    }

    /// The value for the text, where it is of this very catalog.
    pub fn get(&self, text: &str, catalog_version: u64) -> Option<Arc<V>> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let (key, _) = inner.entries.get_key_value(text)?;
        let key = key.clone();
        let entry = inner.entries.get_mut(text).filter(|entry| entry.catalog_version == catalog_version)?;
        inner.clock += 1;
        inner.order.remove(&entry.used);
        entry.used = inner.clock;
        inner.order.insert(entry.used, key);
        Some(entry.value.clone())
    }

    /// Keeps a value; one that alone exceeds the limit is not kept.
    pub fn put(&self, text: &str, catalog_version: u64, value: Arc<V>) {
        let bytes = ENTRY_OVERHEAD + text.len() + value.bytes();
        let mut inner = self.inner.lock();
        inner.remove(text);
        if bytes > self.limit_bytes {
            return;
        }
        while inner.bytes + bytes > self.limit_bytes {
            let Some(oldest) = inner.order.first_key_value().map(|(_, text)| text.clone()) else { break };
            inner.remove(&oldest);
        }
        inner.clock += 1;
        let (key, used): (Arc<str>, u64) = (text.into(), inner.clock);
        inner.order.insert(used, key.clone());
        inner.entries.insert(key, Entry { catalog_version, value, bytes, used });
        inner.bytes += bytes;
    }

    /// What it holds, in bytes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl<V> Inner<V> {
    fn remove(&mut self, text: &str) {
        if let Some(entry) = self.entries.remove(text) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighed for String {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    fn value(bytes: usize) -> Arc<String> {
        Arc::new("v".repeat(bytes))
    }

    #[test]
    fn it_never_holds_more_than_its_bytes_and_the_unused_go_first() {
        let cache = Cache::new(4 * (ENTRY_OVERHEAD + 101));
        for name in ["a", "b", "c", "d"] {
            cache.put(name, 1, value(100));
        }
        assert!(cache.get("a", 1).is_some());
        cache.put("e", 1, value(100));
        assert!(cache.get("b", 1).is_none(), "nobody used it since");
        assert!(["a", "c", "d", "e"].iter().all(|name| cache.get(name, 1).is_some()));
        for number in 0..1_000 {
            cache.put(&number.to_string(), 1, value(number));
            assert!(cache.bytes() <= cache.limit_bytes);
            let inner = cache.inner.lock();
            assert_eq!(inner.entries.len(), inner.order.len());
            assert_eq!(inner.entries.values().map(|entry| entry.bytes).sum::<usize>(), inner.bytes);
        }
    }

    #[test]
    fn another_catalog_finds_nothing_and_replaces_what_is_there() {
        let cache = Cache::new(10_000);
        cache.put("a", 1, value(1));
        assert!(cache.get("a", 2).is_none());
        cache.put("a", 2, value(2));
        assert!(cache.get("a", 1).is_none());
        assert_eq!(cache.get("a", 2).map(|value| value.len()), Some(2));
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD + 3);
    }

    #[test]
    fn what_alone_exceeds_the_limit_is_not_kept_and_drives_nothing_out() {
        let cache = Cache::new(1_000);
        cache.put("a", 1, value(10));
        cache.put("b", 1, value(2_000));
        assert!(cache.get("a", 1).is_some() && cache.get("b", 1).is_none());
    }
}
