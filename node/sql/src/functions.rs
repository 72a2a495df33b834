//! Which functions a store may run, which need a query process, and which nobody may call.
//!
//! Neither `memory_limit` nor a time limit stops a single call such as `repeat('a', 1500000000)`, so a store runs
//! only functions whose output is bounded by their input. The list is an allow-list: a function that a later DuckDB
//! adds goes to a query process, where the operating system bounds it.

mod store;

/// What a call comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Bounded by its input: a store may run it.
    Store,
    /// Anything else that is legal: only a query process.
    Process,
    /// It reaches the engine's own state or the machine's: never.
    Refused,
}

/// The rule for a scalar, aggregate or window function, its name in lower case.
pub fn rule(name: &str) -> Rule {
    if store::STORE.binary_search(&name).is_ok() {
        Rule::Store
    } else if REFUSED.contains(&name) || REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        Rule::Refused
    } else {
        Rule::Process
    }
}

/// The rule for a function in FROM, its name in lower case.
pub fn table_rule(name: &str) -> Rule {
    match name {
        "unnest" | "json_each" | "json_tree" => Rule::Store,
        "range" | "generate_series" | "repeat" | "repeat_row" => Rule::Process,
        _ => Rule::Refused,
    }
}

const REFUSED_PREFIXES: &[&str] =
    &["duckdb_", "pragma_", "read_", "parquet_", "pg_", "__internal", "has_", "inet_", "icu_"];

#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "checkpoint", "col_description", "combine", "combine_aggr", "current_catalog", "current_connection_id",
    "current_database", "current_query", "current_query_id", "current_role", "current_schema", "current_schemas",
    "current_setting", "current_transaction_id", "current_user", "currval", "finalize", "force_checkpoint",
    "get_block_size", "getenv", "getvariable", "glob", "in_search_path", "index_key", "json_deserialize_sql",
    "json_execute_serialized_sql", "json_serialize_plan", "json_serialize_sql", "nextval", "obj_description",
    "parse_duckdb_log_message", "query", "query_table", "session_user", "set_config", "setseed", "setval",
    "shobj_description", "sleep_ms", "sniff_csv", "to_aggregate_state", "txid_current", "user", "version", "write_log",
];

/// How many times longer than its one argument a result can be, for functions that grow theirs whatever they are
/// given; 1 for others.
pub(crate) fn stretch(name: &str) -> u64 {
    match name {
        "hex" | "to_hex" | "base64" | "to_base64" => 2,
        "url_encode" => 3,
        "to_json" | "json_object" | "json_array" | "json_group_array" | "json_group_object" => 6, // \u0000
        "bin" => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_without_doubles() {
        assert!(store::STORE.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_grows_without_bound_is_not_for_a_store() {
        for name in [
            "repeat",
            "range",
            "generate_series",
            "printf",
            "lpad",
            "rpad",
            "format",
            "list_resize",
            "array_resize",
            "bar",
            "array_to_string",
            "replace",
            "regexp_replace",
            "bitstring",
            "bitstring_agg",
            "to_base",
            "list_reduce",
            "list_transform",
            "reduce",
            "list_aggregate",
            "list_aggr",
            "reservoir_quantile",
            "approx_top_k",
            "levenshtein",
            "overlay",
            "array_transform",
            "list_zip",
            "set_bit",
            "equi_width_bins",
        ] {
            assert_eq!(rule(name), Rule::Process, "{name}");
        }
    }

    #[test]
    fn what_reaches_the_engine_is_refused() {
        for name in ["getenv", "current_setting", "duckdb_settings", "pragma_version", "query", "read_text", "pg_sleep"]
        {
            assert_eq!(rule(name), Rule::Refused, "{name}");
            assert_eq!(table_rule(name), Rule::Refused, "{name}");
        }
        assert_eq!(table_rule("a_function_of_tomorrow"), Rule::Refused);
    }

    #[test]
    fn nothing_is_both_for_a_store_and_refused() {
        for name in store::STORE {
            assert!(
                !REFUSED.contains(name) && !REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
                "{name}"
            );
        }
    }
}
