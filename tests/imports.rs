//! Files of contacts come in, through the API on both databases.

use postroad::campaign::import::Imports;
use postroad::model::{ImportId, OrganizationId};
use postroad::store::Narrowed;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::PATIENCE;
use crate::support::api::{As, TestApi};
use crate::support::relay::Database;

async fn done(api: &TestApi, method: &str, path: &str, body: Value) -> Value {
    let body = (!body.is_null()).then_some(body);
    let answer = api.ask(&As::Operator, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {:?}", answer.body);
    answer.body
}

async fn upload(api: &TestApi, query: &str, file: impl Into<Vec<u8>>) -> Value {
    let answer = api.upload(&format!("/v1/imports{query}"), file.into()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.body
}

/// Starts it and waits for its end.
async fn run(api: &TestApi, import: &Value, options: Value) -> Value {
    let path = format!("/v1/imports/{}", import["id"]);
    done(api, "POST", &format!("{path}/start"), options).await;
    finish(api, &path).await
}

async fn finish(api: &TestApi, path: &str) -> Value {
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(api.imports.clone().run(stopping));
    let started = std::time::Instant::now();
    let ended = loop {
        let import = done(api, "GET", path, Value::Null).await;
        if import["state"] != "running" {
            break import;
        }
        assert!(started.elapsed() < PATIENCE, "{import}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    stop.send_replace(true);
    running.await.expect("it ends in order");
    ended
}

fn counts(import: &Value) -> [u64; 5] {
    ["read_count", "added_count", "updated_count", "skipped_count", "failed_count"]
        .map(|name| import[name].as_u64().expect(name))
}

async fn list(api: &TestApi) -> Value {
    let made = done(api, "POST", "/v1/lists", json!({"name": "News"})).await;
    made["id"].clone()
}

async fn contact(api: &TestApi, email: &str) -> Value {
    let row = api.store.contact_by_email(OrganizationId::FIRST, email).await.expect("a read");
    let Some(row) = row else { return Value::Null };
    done(api, "GET", &format!("/v1/contacts/{}", row.id), Value::Null).await
}

const DECLARED: &str = "stand on the fair, 2024";

fn declaration() -> Value {
    json!({"agreed": true, "source": DECLARED})
}

#[tokio::test]
async fn a_file_of_a_spreadsheet_becomes_contacts_and_its_bad_rows_a_report() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let list = list(&api).await;
        let text = "E-Mail;Name;Größe;Geburtstag;Tags\r\n\
                    Jürgen@Example.COM;Jürgen;L;1.5.;vip, \"neu\"\r\n\
                    kaputt;Otto;M;;\r\n\
                    otto@example.com;Otto;XXL;;\r\n\
                    uwe@example.com;=1+1;M;31.02.;\r\n\
                    eva@example.com;'=Eva;M;;vip\r\n";
        let (file, ..) = encoding_rs::WINDOWS_1252.encode(text);
        let blind = upload(&api, "", file.clone()).await;
        assert_eq!(blind["preview"]["broken"], 2, "no UTF-8");
        let import = upload(&api, "?encoding=windows-1252&file_name=liste.csv", file).await;
        let preview = &import["preview"];
        assert_eq!((&preview["delimiter"], &preview["has_heads"]), (&json!(";"), &json!(true)));
        assert_eq!(preview["columns"][0], json!({"to": "email"}));
        assert_eq!(preview["columns"][4], json!({"to": "tags"}));
        assert_eq!(preview["samples"][0][1], "Jürgen");
        let columns = json!([{"to": "email"}, {"to": "name"},
            {"to": "new_field", "name": "size", "kind": "choice", "choices": ["S", "M", "L"]},
            {"to": "new_field", "name": "born", "kind": "birthday"}, {"to": "tags"}]);
        let options = json!({"mode": "subscribe", "columns": columns, "lists": [list],
            "tags": ["fair"], "declaration": declaration()});
        let ended = run(&api, &import, options).await;
        assert_eq!(ended["state"], "done", "{ended}");
        assert_eq!(counts(&ended), [5, 2, 0, 0, 3]);

        let jurgen = contact(&api, "jürgen@example.com").await;
        assert_eq!(jurgen["name"], "Jürgen");
        assert_eq!(jurgen["fields"], json!({"size": "L", "born": "05-01"}));
        assert_eq!(jurgen["tags"], json!(["fair", "neu", "vip"]));
        assert_eq!(jurgen["lists"][0]["status"], "subscribed");
        assert_eq!(jurgen["consents"][0]["source"], DECLARED);
        assert_eq!(contact(&api, "eva@example.com").await["name"], "=Eva");

        let path = format!("/v1/imports/{}/failed", import["id"]);
        let failed = done(&api, "GET", &path, Value::Null).await;
        let lines: Vec<&str> = failed.as_str().expect("text").lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("3,1,no '@' in the address,kaputt,Otto"), "{}", lines[1]);
        assert!(lines[2].starts_with("4,3,'XXL' is none of"), "{}", lines[2]);
        assert!(lines[3].starts_with("5,4,"), "{}", lines[3]);
        assert!(lines[3].contains("'=1+1"), "{}", lines[3]);
    }
}

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let how = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for (name, text) in files {
        zip.start_file(*name, how).expect("begun");
        std::io::Write::write_all(&mut zip, text).expect("written");
    }
    zip.finish().expect("whole").into_inner()
}

#[tokio::test]
async fn a_file_in_a_zip_is_read_as_the_file_itself_is() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let (text, ..) =
            encoding_rs::WINDOWS_1252.encode("email;name\r\njo@example.com;Jürgen\r\n");
        let zip = packed(&[("__MACOSX/._liste.csv", b"?"), ("x/liste.csv", &text)]);
        let import = upload(&api, "?encoding=windows-1252&file_name=liste.zip", zip).await;
        assert_eq!(import["preview"]["samples"][0], json!(["jo@example.com", "Jürgen"]));
        assert_eq!(import["file_bytes"], "email;name\r\njo@example.com;Jürgen\r\n".len());
        let columns = json!([{"to": "email"}, {"to": "name"}]);
        let ended = run(&api, &import, json!({"mode": "add", "columns": columns})).await;
        assert_eq!(counts(&ended), [1, 1, 0, 0, 0]);
        assert_eq!(contact(&api, "jo@example.com").await["name"], "Jürgen");
        // An export of Mailchimp: who is subscribed, and who is not.
        let export = packed(&[
            ("subscribed_audience_export_1.csv", b"Email Address\nin@example.com\n"),
            ("unsubscribed_audience_export_1.csv", b"Email Address\nout@example.com\n"),
        ]);
        let answer = api.upload("/v1/imports", export.clone()).await;
        assert_eq!(answer.status, 422, "{:?}", answer.body);
        let why = answer.body["detail"].as_str().expect("text");
        assert!(why.contains("unsubscribed_audience_export_1.csv; name one"), "{why}");
        let import = upload(&api, "?entry=subscribed_audience_export_1.csv", export).await;
        assert_eq!(import["preview"]["samples"][0], json!(["in@example.com"]));
        let book = packed(&[("[Content_Types].xml", b"<Types/>"), ("xl/workbook.xml", b"<x/>")]);
        let answer = api.upload("/v1/imports", book).await;
        assert_eq!(answer.status, 422, "{:?}", answer.body);
        let rows = done(&api, "GET", "/v1/imports", Value::Null).await;
        assert_eq!(rows["items"].as_array().map(Vec::len), Some(2), "what was refused is gone");
    }
}

#[tokio::test]
async fn each_mode_does_what_it_says_and_no_more() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let list = list(&api).await;
        let old = "email,name\nold@example.com,Old\ngone@example.com,Gone\n";
        let columns = json!([{"to": "email"}, {"to": "name"}]);
        let with = |mode: &str, lists: Value| {
            json!({"mode": mode, "columns": columns, "lists": lists,
                   "declaration": declaration()})
        };
        let import = upload(&api, "", old).await;
        run(&api, &import, with("subscribe", json!([list]))).await;

        let new = "email,name\nOLD@example.com,Other\nnew@example.com,New\n";
        let import = upload(&api, "", new).await;
        assert_eq!(counts(&run(&api, &import, with("add", json!([]))).await), [2, 1, 0, 1, 0]);
        assert_eq!(contact(&api, "old@example.com").await["name"], "Old");

        let import = upload(&api, "", "email,name\nold@example.com,\nnone@example.com,N\n").await;
        assert_eq!(counts(&run(&api, &import, with("update", json!([]))).await), [2, 0, 1, 1, 0]);
        assert_eq!(contact(&api, "old@example.com").await["name"], "Old", "an empty cell");
        assert_eq!(contact(&api, "none@example.com").await, Value::Null);

        let import = upload(&api, "", "gone@example.com,\n").await;
        assert_eq!(import["preview"]["has_heads"], false);
        let mut options = with("unsubscribe", json!([list]));
        options["heads"] = json!(false);
        assert_eq!(counts(&run(&api, &import, options).await), [1, 0, 1, 0, 0]);
        let gone = contact(&api, "gone@example.com").await;
        assert_eq!(gone["lists"][0]["status"], "unsubscribed");

        // An import does not bring back who left.
        let import = upload(&api, "", old).await;
        run(&api, &import, with("subscribe", json!([list]))).await;
        let gone = contact(&api, "gone@example.com").await;
        assert_eq!(gone["lists"][0]["status"], "unsubscribed");

        let import = upload(&api, "", "email,name\nold@example.com,\nbad@example.com,\n").await;
        let mut options = with("suppress", json!([]));
        options["declaration"] = Value::Null;
        assert_eq!(counts(&run(&api, &import, options).await), [2, 1, 1, 0, 0]);
        assert_eq!(contact(&api, "old@example.com").await["status"], "blocked");
        assert_eq!(contact(&api, "bad@example.com").await["status"], "blocked");
    }
}

#[tokio::test]
async fn what_was_stopped_goes_on_with_the_next_row() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let mut file = String::from("email,name\n");
        for row in 0..5000 {
            let email = if row % 10 == 9 { "broken" } else { "lawful@" };
            file.push_str(&format!("{email}{row}.example,\"Name\n{row}\"\n"));
        }
        let import = upload(&api, "", file).await;
        let path = format!("/v1/imports/{}", import["id"]);
        let options = json!({"mode": "add", "columns": [{"to": "email"}, {"to": "ignore"}]});
        done(&api, "POST", &format!("{path}/start"), options).await;
        for _ in 0..3 {
            let (stop, stopping) = watch::channel(false);
            let running = tokio::spawn(api.imports.clone().run(stopping));
            let before = done(&api, "GET", &path, Value::Null).await["read_count"].clone();
            let started = std::time::Instant::now();
            while done(&api, "GET", &path, Value::Null).await["read_count"] == before {
                assert!(started.elapsed() < PATIENCE, "it moves");
            }
            stop.send_replace(true);
            running.await.expect("it stops in order");
        }
        let ended = finish(&api, &path).await;
        assert_eq!(counts(&ended), [5000, 4500, 0, 0, 500]);
        let failed = done(&api, "GET", &format!("{path}/failed"), Value::Null).await;
        // Each row ends with its own cells, however many it had.
        let mut reader = csv::ReaderBuilder::new();
        let mut reader =
            reader.flexible(true).from_reader(failed.as_str().expect("text").as_bytes());
        let rows: Vec<u64> = reader
            .records()
            .map(|record| record.expect("lawful")[0].parse().expect("a number"))
            .collect();
        let expected: Vec<u64> = (0..5000).filter(|row| row % 10 == 9).map(|row| row + 2).collect();
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_which_option_is_wrong() {
    let api = TestApi::new().await;
    let list = list(&api).await;
    let import = upload(&api, "", "email,name\na@example.com,A\n").await;
    let path = format!("/v1/imports/{}/start", import["id"]);
    let columns = json!([{"to": "email"}, {"to": "name"}]);
    for (options, field) in [
        (json!({"mode": "add", "columns": [{"to": "name"}]}), "columns"),
        (json!({"mode": "add", "columns": [{"to": "email"}, {"to": "email"}]}), "columns"),
        (
            json!({"mode": "add", "columns": [{"to": "email"}, {"to": "field", "name": "x"}]}),
            "columns",
        ),
        (json!({"mode": "subscribe", "columns": columns}), "lists"),
        (json!({"mode": "add", "columns": columns, "lists": [99]}), "lists"),
        (json!({"mode": "subscribe", "columns": columns, "lists": [list]}), "declaration"),
        (
            json!({"mode": "subscribe", "columns": columns, "lists": [list],
            "declaration": {"agreed": false, "source": "x"}}),
            "declaration.agreed",
        ),
        (json!({"mode": "add", "columns": columns, "delimiter": "x"}), "delimiter"),
    ] {
        let refused = api.ask(&As::Operator, "POST", &path, Some(options.clone())).await;
        assert_eq!(refused.status, 422, "{options}");
        assert_eq!(refused.body["field"], field, "{options}");
    }
    let fields = done(&api, "GET", "/v1/contact-fields", Value::Null).await;
    assert_eq!(fields["items"], json!([]), "nothing was made on the way");
}

#[tokio::test]
async fn a_cancelled_import_writes_nothing_more_and_an_upload_that_was_cut_off_is_swept() {
    let api = TestApi::new().await;
    let import = upload(&api, "", "email\na@example.com\n").await;
    let path = format!("/v1/imports/{}", import["id"]);
    let options = json!({"mode": "add", "columns": [{"to": "email"}]});
    done(&api, "POST", &format!("{path}/start"), options.clone()).await;
    assert_eq!(
        done(&api, "POST", &format!("{path}/cancel"), json!({})).await["state"],
        "cancelled"
    );
    assert_eq!(counts(&finish(&api, &path).await), [0; 5]);
    let again = api.ask(&As::Operator, "POST", &format!("{path}/start"), Some(options)).await;
    assert_eq!(again.status, 409);
    done(&api, "DELETE", &path, Value::Null).await;

    let mut cut =
        api.imports.upload(OrganizationId::FIRST, "x", (None, None)).await.expect("begins");
    cut.write(b"email\n").await.expect("written");
    drop(cut);
    let imports: Imports = api.imports.clone();
    let unfinished =
        async || imports.list(OrganizationId::FIRST, ImportId(0), 9, &Narrowed::default()).await;
    assert!(unfinished().await.expect("a list").is_empty(), "it is no import yet");
    let (stop, stopping) = watch::channel(true);
    imports.clone().run(stopping).await;
    drop(stop);
    assert!(api.store.unfinished_uploads().await.expect("a read").is_empty());
}

#[tokio::test]
async fn a_million_octets_of_rubbish_are_counted_and_told() {
    let api = TestApi::new().await;
    let mut file = b"email,name\n".to_vec();
    for row in 0..20_000u32 {
        file.extend([0, b'"', b'x', (row % 256) as u8, b'\0', b',', 0xff, b'"', b'\n']);
    }
    file.extend(b"\"\nlast@example.com,L\n");
    let import = upload(&api, "", file).await;
    let options = json!({"mode": "add", "columns": [{"to": "email"}, {"to": "name"}]});
    let ended = run(&api, &import, options).await;
    let [read, added, .., failed] = counts(&ended);
    assert_eq!((&ended["state"], read), (&json!("done"), added + failed));
}

#[tokio::test]
async fn rows_of_blocked_domains_are_refused_where_they_would_make_contacts() {
    let api = TestApi::new().await;
    done(&api, "PUT", "/v1/contact-domains", json!({"blocked": ["spam.test"]})).await;
    let file = "email\nann@own.test\nbot@spam.test\n";
    let options = |mode: &str| json!({"mode": mode, "columns": [{"to": "email"}]});
    let import = upload(&api, "", file).await;
    let ended = run(&api, &import, options("add")).await;
    assert_eq!(counts(&ended), [2, 1, 0, 0, 1], "{ended}");
    let path = format!("/v1/imports/{}/failed", import["id"]);
    let failed = done(&api, "GET", &path, Value::Null).await;
    let line = failed.as_str().expect("text").lines().nth(1).expect("a line").to_owned();
    assert!(line.starts_with("3,1,addresses of this domain are not taken"), "{line}");
    let ended = run(&api, &upload(&api, "", file).await, options("suppress")).await;
    assert_eq!(counts(&ended)[4], 0, "whom nobody is to write to is noted: {ended}");
}

#[tokio::test]
async fn an_export_is_sent_piece_by_piece() {
    let api = TestApi::new().await;
    let mut text = "email,name\n".to_owned();
    for number in 0..1_200 {
        text += &format!("p{number}@example.com,Person {number}\n");
    }
    let import = upload(&api, "", text).await;
    let columns = json!([{"to": "email"}, {"to": "name"}]);
    run(&api, &import, json!({"mode": "add", "columns": columns})).await;
    let pieces = api.pieces("/v1/contacts/export").await;
    let lines: Vec<usize> = pieces.iter().map(|piece| piece.lines().count()).collect();
    assert_eq!(lines.iter().sum::<usize>(), 1_201, "{lines:?}");
    assert!(lines.len() >= 4 && lines.iter().all(|count| *count <= 500), "{lines:?}");
}
