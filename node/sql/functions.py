"""Prints src/functions/store.rs. Run with the DuckDB release that the workspace pins, no extension but json:
    python3 functions.py > src/functions/store.rs
A name comes in only by being named here; names that DuckDB does not know are an error."""
import duckdb

# Aggregates and window functions whose state is bounded by their input.
AGGREGATES = """any_value approx_count_distinct approx_quantile arbitrary arg_max arg_max_null arg_min arg_min_null argmax
argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star countif covar_pop covar_samp
entropy favg first fsum histogram kahan_sum kurtosis kurtosis_pop last list mad max max_by mean median min min_by mode
product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp sum sum_no_overflow sumkahan var_pop var_samp variance geomean
geometric_mean wavg weighted_avg string_agg group_concat listagg json_group_array json_group_object
cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number"""
# Scalars whose result is at most a small factor longer than their arguments, and that take time about linear in them.
# Out on purpose: whatever takes a length or a count (repeat, lpad, rpad, printf, format, bar, range, list_resize,
# bitstring, to_base), a text for each match or item (replace, regexp_replace, array_to_string), quadratic time
# (levenshtein, jaro_winkler_similarity), a lambda (list_reduce can double at each step), an aggregate by name
# (list_aggregate), sleeping, and whatever tells of the engine itself.
SCALARS = """abs acos acosh add age array_contains array_distinct array_extract array_has array_has_all array_has_any
array_length array_position array_slice array_sort array_unique ascii asin asinh atan atan2 atanh base64 bin bit_count
bit_length cardinality cbrt ceil ceiling century char_length character_length chr concat concat_ws contains cos cosh cot
date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek
dayofyear days_in_month decade decode degrees divide element_at encode ends_with epoch epoch_ms epoch_ns epoch_us
era error even exp factorial fdiv flatten floor fmod format_bytes from_base64 from_hex gamma gcd
gen_random_uuid greatest greatest_common_divisor hamming hash hex hour if ilike_escape instr isfinite isinf isnan isodow
isoyear json_array json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
json_extract_string json_keys json_object json_type json_valid json_value julian last_day lcase lcm least
least_common_multiple left length lgamma like_escape list_any_value list_avg list_concat list_contains list_count
list_distinct list_element list_extract list_first list_has list_has_all list_has_any list_indexof list_last list_max
list_median list_min list_position list_slice list_sort list_sum list_unique list_value ln log log10 log2 lower ltrim
make_date make_time make_timestamp map map_contains map_entries map_extract map_extract_value map_from_entries map_keys
map_values md5 md5_number microsecond millennium millisecond minute mod month monthname multiply nextafter
normalized_interval not_ilike_escape not_like_escape nullif octet_length ord pi position pow power prefix quarter radians
random regexp_extract regexp_full_match regexp_matches reverse right round round_even roundbankers row rtrim second sha1
sha256 sign signbit sin sinh split_part sqrt starts_with strftime string_split strip_accents strlen strpos strptime
struct_extract struct_extract_at struct_insert struct_pack substr substring subtract suffix tan tanh time_bucket to_base64
to_centuries to_days to_decades to_hex to_hours to_json to_microseconds to_millennia to_milliseconds to_minutes to_months
to_quarters to_seconds to_weeks to_years translate trim trunc try_strptime typeof ucase unhex unicode unnest upper
url_decode url_encode uuid uuidv4 uuidv7 week weekday weekofyear xor year yearweek"""
OPERATORS = "!~~ !~~* % & && * ** + - / // << <@ <-> <=> >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~ -> ->> !__postfix"

known = {name for (name,) in duckdb.sql("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()}
parsed = {"unnest", "if", "->", "/", "-"}  # known to the parser, or bound before the function catalog
names = sorted(set((AGGREGATES + " " + SCALARS + " " + OPERATORS).split()))
unknown = [name for name in names if name not in known and name not in parsed]
assert not unknown, unknown
print("//! Made by `functions.py`, which says what is in and what is not: change that.\n")
print("/// The functions that a store may run, sorted.\n#[rustfmt::skip]\npub(super) const STORE: &[&str] = &[")
line = "   "
for name in names:
    if len(line) + len(name) + 4 > 118:
        print(line)
        line = "   "
    line += f' "{name}",'
print(line + "\n];")
