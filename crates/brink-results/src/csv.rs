//! Results as a table: one row for each case and repeat, one column for each figure.
//!
//! Pure. Must not reckon: a cell is what the result's JSON has at the path that the column is named after.

use ::csv::{Error, WriterBuilder};
use serde_json::Value;

use crate::schema::CaseResult;

/// The columns, in order, as paths into a result; `{a,b}` stands for each of them, the last changing fastest.
/// A name never changes and none goes. New ones come at the end, so that neither names nor positions move.
pub const COLUMNS: &[&str] = &[
    "schema",
    "started",
    "case.{name,repeat}",
    "case.target.{label,origin,model,processes,threads,cpus,delay,work_us,stack_bytes,backlog,connections_max}",
    "case.target.origin.{address.address,address.control,address.pid,command.command,command.port}",
    "case.load.{engine,connections,requests,seed,payload_bytes,delay_ns,work_us,threads,cpus}",
    "case.load.workload.{kind,heartbeat_ns,think_ns,rate_per_s,arrivals}",
    "case.load.protocol.{kind,method,path,host,headers,body,echoes,send,expect}",
    "case.load.{connect_rate_per_s,connect_window,source_ips,warmup_ns,duration_ns,timeout_ns,close,plateaus,samples_per_s}",
    "validity.{verdict,reasons}",
    "refused",
    "connections.{requested,opened,failed,not_attempted,closed_early,live_at_end,peak_live,reopened,connect_per_s}",
    "connections.connect_latency_ns.{p50,p90,p99,p999,max}",
    "requests.{intended,completed,failed,non_2xx,not_sent,backlog_peak,per_s,per_s_intended,per_s_ceiling,window_s}",
    "latency_ns.{p50,p90,p99,p999,p9999,max,mean,count,from}",
    "{delay_error_ns,schedule_lag_ns}.{p50,p99,max}",
    "makespan_ns",
    "memory_per_connection.{client,target}.{user_bytes,virtual_bytes,page_table_bytes,kernel_bytes,kernel_stack_bytes,slab_bytes}.{slope,ci95.low,ci95.high,r2,points}",
    "memory_per_connection.{client,target}.kernel_scope",
    "failures",
    "failure_point.{at_connections,predicted_at,end,phase,errno,limit,limit_value,confidence,evidence,fix,lasting}",
    "predicted.{limit,end,at_connections,limit_value,fix,lasting,estimated_from,short}",
    "ceiling.{at_connections,stopped_by,stop_at,memory_floor_bytes,climbs}",
    "ceiling.held.{connections,window_s,heartbeats,failed,closed_early,target_cpu_per_s}",
    "ceiling.after.{alive,serving,left,why}",
    "target_counters.{accepted,live,requests,frame_errors,refusals}",
    "facts.{brink_version,shared_machine,shared_cpus}",
    "facts.{client,target}.{kernel,architecture,cpu_model,cpus,cpus_allowed,memory_bytes,boot_id,page_bytes,work_error_ratio}",
    "interrupted",
    "slo",
    "facts.{client,target}.cpu_quota",
    "case.load.background.{engine,connections,seed,payload_bytes,delay_ns,work_us,threads,timeout_ns}",
    "case.load.background.workload.{kind,heartbeat_ns,think_ns,rate_per_s,arrivals}",
    "case.load.background.protocol.{kind,method,path,host,headers,body,echoes,send,expect}",
    "case.load.climb.{within_ns,memory_floor_bytes}",
    "background.connections.{requested,opened,failed,not_attempted,closed_early,live_at_end,peak_live,reopened,connect_per_s}",
    "background.connections.connect_latency_ns.{p50,p90,p99,p999,max}",
    "background.requests.{intended,completed,failed,non_2xx,not_sent,backlog_peak,per_s,per_s_intended,per_s_ceiling,window_s}",
    "background.latency_ns.{p50,p90,p99,p999,p9999,max,mean,count,from}",
    "background.{failures,faults}",
    "case.load.processes",
    "predicted_memory.{client_user_bytes,target_user_bytes,kernel_bytes,available_bytes,estimated_from}",
    "usage.sampling.{samples,cpu_s,span_s}",
    "case.load.busy_poll_ns",
    "usage.{busy_poll_ns,polled_in_vain_s}",
];

/// What is told of each thing in a list of things.
const OF_EACH: &[(&str, &[&str])] = &[
    ("failures", &["end", "phase", "errno", "count"]),
    ("ceiling.climbs", &["connections"]),
    ("target_counters.refusals", &["phase", "error", "count"]),
    ("slo", &["rule", "value", "kept"]),
    ("background.failures", &["phase", "errno", "count"]),
];

/// Between the parts of a cell that holds a list.
const BETWEEN: &str = " | ";

/// The table, with a header: text of RFC 4180 but for its line ends, which are a line feed. What is null, or not
/// in a result, is an empty cell.
///
/// # Errors
/// When a result cannot be written as JSON.
pub fn render(results: &[CaseResult]) -> Result<String, Error> {
    let columns = columns();
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(&columns)?;
    for result in results {
        let document = serde_json::to_value(result).map_err(std::io::Error::from)?;
        writer.write_record(row(&columns, &document))?;
    }
    let bytes = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| std::io::Error::other(error).into())
}

/// The names of the columns, one by one.
#[must_use]
pub fn columns() -> Vec<String> {
    COLUMNS.iter().flat_map(|pattern| spelled_out(pattern)).collect()
}

/// `a.{b,c}` -> `a.b`, `a.c`.
fn spelled_out(pattern: &str) -> Vec<String> {
    let Some((before, (choices, after))) =
        pattern.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![pattern.to_owned()];
    };
    let after = spelled_out(after);
    choices
        .split(',')
        .flat_map(|one| after.iter().map(move |after| format!("{before}{one}{after}")))
        .collect()
}

fn row<'a>(columns: &'a [String], document: &'a Value) -> impl Iterator<Item = String> + 'a {
    columns.iter().map(|column| {
        let fields = OF_EACH.iter().find(|(name, _)| name == column).map_or(&[][..], |(_, fields)| fields);
        at(document, column).map_or_else(String::new, |value| cell(value, fields))
    })
}

/// What a document has at a path.
fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, step| match (value, step) {
        (Value::Array(bounds), "low") => bounds.first(),
        (Value::Array(bounds), "high") => bounds.last(),
        _ => value.get(step),
    })
}

fn cell(value: &Value, fields: &[&str]) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) | Value::Array(_) | Value::Object(_) => harmless(text(value, fields)),
    }
}

fn text(value: &Value, fields: &[&str]) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            list.iter().map(|one| text_in_list(one, fields)).collect::<Vec<_>>().join(BETWEEN)
        }
        // One of several kinds, by its name.
        Value::Object(kind) if fields.is_empty() => {
            kind.keys().map(String::as_str).collect::<Vec<_>>().join(BETWEEN)
        }
        Value::Object(thing) => {
            let told = fields.iter().filter_map(|field| thing.get(*field));
            told.map(|value| text(value, &[])).collect::<Vec<_>>().join(" ")
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn text_in_list(value: &Value, fields: &[&str]) -> String {
    match value {
        // Name and value of a header.
        Value::Array(pair) => pair.iter().map(|one| text(one, &[])).collect::<Vec<_>>().join(": "),
        value => text(value, fields),
    }
}

/// A spreadsheet takes text that begins like a formula for one and runs it, whoever wrote it: an apostrophe before
/// it says that it is text. Numbers are left alone.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas;

    /// In a result and in no column: too long for a cell, or many for each case.
    const LEFT_OUT: &[&str] = &[
        "latency_ns.hdr",
        "background.latency_ns.hdr",
        "memory_per_connection.method",
        "memory_per_connection.plateaus",
        "facts.client.limits",
        "facts.target.limits",
        "usage.client",
        "usage.target",
        "usage.machine",
        "usage.target_machine",
        "usage.phases",
    ];

    /// All that a result can hold, by path, with a value of the type that the schema says.
    fn fields(schema: &Value, at: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if let Some(reference) = at["$ref"].as_str() {
            return fields(schema, schema.pointer(&reference[1..]).unwrap(), path, found);
        }
        for name in ["anyOf", "oneOf"] {
            for one in at[name].as_array().into_iter().flatten() {
                fields(schema, one, path, found);
            }
        }
        if let Some(properties) = at["properties"].as_object() {
            properties.iter().for_each(|(name, field)| fields(schema, field, &below(name), found));
        }
        if path.ends_with(".ci95") {
            found.extend([("low", 1.5), ("high", 2.5)].map(|(end, value)| (below(end), value.into())));
            return;
        }
        let number = found.len() + 1;
        let kind = at["type"].as_str().or_else(|| at["type"][0].as_str()).unwrap_or_default();
        let value = match kind {
            "string" => Value::from(at["const"].as_str().map_or(format!("text {number}"), str::to_owned)),
            "integer" => number.into(),
            "number" => (number as f64 + 0.5).into(),
            "boolean" => true.into(),
            "array" => Value::Array(Vec::new()),
            _ => return,
        };
        if !found.iter().any(|(known, _)| known == path) {
            found.push((path.to_owned(), value));
        }
    }

    fn all_fields() -> Vec<(String, Value)> {
        let schema: Value = serde_json::from_str(schemas::find("result").unwrap().text).unwrap();
        let mut found = Vec::new();
        fields(&schema, &schema, "", &mut found);
        found
    }

    /// A field that is added to a result fails this until it is a column, too.
    #[test]
    fn every_figure_of_a_result_is_a_column_and_every_column_is_in_a_result() {
        let fields = all_fields();
        let columns = columns();
        let missing: Vec<_> = fields
            .iter()
            .map(|(path, _)| path.as_str())
            .filter(|path| !columns.iter().any(|column| column == path) && !LEFT_OUT.contains(path))
            .collect();
        assert_eq!(missing, [""; 0], "add them at the end of COLUMNS, or to LEFT_OUT");
        for column in columns.iter().map(String::as_str).chain(LEFT_OUT.iter().copied()) {
            assert!(fields.iter().any(|(path, _)| path == column), "{column} is in no result");
        }
        for (index, column) in columns.iter().enumerate() {
            assert!(!columns[..index].contains(column) && !LEFT_OUT.contains(&column.as_str()), "{column}");
        }
    }

    /// Puts a value where a path says.
    fn put(document: &mut Value, path: &str, value: Value) {
        let mut at = document;
        for step in path.split('.').filter(|step| *step != "low" && *step != "high") {
            at = &mut at[step];
        }
        match (&mut *at, path.ends_with(".ci95.low") || path.ends_with(".ci95.high")) {
            (Value::Array(bounds), true) => bounds.push(value),
            (at, true) => *at = Value::Array(vec![value]),
            (at, false) => *at = value,
        }
    }

    #[test]
    fn every_scalar_comes_out_as_it_is_in_the_json() {
        let mut document = serde_json::json!({});
        let fields = all_fields();
        // Its name is what is below it.
        for (path, value) in fields.iter().filter(|(path, _)| path != "case.target.origin") {
            put(&mut document, path, value.clone());
        }
        let columns = columns();
        let cells: Vec<String> = row(&columns, &document).collect();
        assert_eq!(cells.len(), columns.len());
        for (column, cell) in columns.iter().zip(&cells) {
            let value = &fields.iter().find(|(path, _)| path == column).unwrap().1;
            match value {
                Value::Array(_) => assert_eq!(cell, "", "{column}"),
                _ if column == "case.target.origin" => assert_eq!(cell, "address | command"),
                Value::String(text) => assert_eq!(cell, text, "{column}"),
                value => assert_eq!(cell, &value.to_string(), "{column}"),
            }
        }
    }

    #[test]
    fn lists_are_one_cell() {
        let document = serde_json::json!({
            "failures": [
                { "end": "client", "phase": "connect", "errno": "EMFILE", "count": 12, "first_at_connections": 9 },
                { "end": "target", "phase": "accept", "errno": "EMFILE", "count": 1, "first_at_connections": 9 },
            ],
            "facts": { "shared_cpus": [0, 1] },
            "validity": { "reasons": ["a, b", "c"] },
            "case": { "load": { "protocol": { "headers": [["X-A", "1"], ["X-B", "2"]] } } },
            "ceiling": { "climbs": [{ "connections": 9, "failed": 1 }, { "connections": 8, "failed": 0 }] },
        });
        let cell = |column: &str| row(&[column.to_owned()], &document).next().unwrap();
        assert_eq!(cell("failures"), "client connect EMFILE 12 | target accept EMFILE 1");
        assert_eq!(cell("facts.shared_cpus"), "0 | 1");
        assert_eq!(cell("validity.reasons"), "a, b | c");
        assert_eq!(cell("case.load.protocol.headers"), "X-A: 1 | X-B: 2");
        assert_eq!(cell("ceiling.climbs"), "9 | 8");
    }

    #[test]
    fn no_text_is_a_formula() {
        for (text, shown) in [("=1+1", "'=1+1"), ("+PONG", "'+PONG"), ("@x", "'@x"), ("a=b", "a=b"), ("", "")]
        {
            assert_eq!(cell(&text.into(), &[]), shown);
        }
        assert_eq!(cell(&(-0.5).into(), &[]), "-0.5", "a number is none");
        assert_eq!(cell(&serde_json::json!(["-x", "y"]), &[]), "'-x | y");
    }

    #[test]
    fn braces_are_spelled_out_the_last_changing_fastest() {
        assert_eq!(spelled_out("a.{b,c}.{d.e,f}"), ["a.b.d.e", "a.b.f", "a.c.d.e", "a.c.f"]);
        assert_eq!(spelled_out("a"), ["a"]);
    }
}
