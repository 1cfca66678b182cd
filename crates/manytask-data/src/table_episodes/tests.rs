use std::fmt::Write as _;

use super::*;

fn load(table: &str, text: &str) -> Result<LoadedTableEpisodes> {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("t.csv"), table).unwrap();
    let text = format!("source.path = 't.csv'\n{text}");
    toml::from_str::<TableEpisodes>(&text).unwrap().load(dir.path())
}

/// Ten schools of eight pupils; the last of each has no score.
fn pupils() -> String {
    (0..80).fold("school,age,sex,score\n".to_owned(), |mut text, row| {
        let (school, pupil) = (row / 8, row % 8);
        let score = if pupil == 7 { String::new() } else { format!("{}", school * 100 + pupil) };
        _ = writeln!(text, "{}.0,{pupil},{},{score}", school + 1, if row % 2 == 0 { "f" } else { "m" });
        text
    })
}

const SCHOOLS: &str = "
    tasks_by = 'school'
    inputs = { numeric = ['age'], one_hot = ['sex'] }
    targets = [{ name = 'score', kind = 'regression' }]
    split.random = { validation = 0.2, test = 0.3, seed = 1 }
    shots = 3
    queries = 2
";

fn tasks(pools: TablePools) -> Splits<TaskGroups> {
    match pools {
        TablePools::Tasks(tasks) => tasks,
        TablePools::Classes(..) => panic!("these are classes"),
    }
}

#[test]
fn each_value_of_a_column_is_a_task_of_one_split() {
    let loaded = load(&pupils(), SCHOOLS).unwrap();
    let notes: Vec<String> = loaded.report.notes.iter().map(ToString::to_string).collect();
    assert!(notes.iter().any(|note| note == "10 rows have no label and are in no task"), "{notes:?}");
    assert_eq!(
        loaded.report.summary(),
        "data: 5 train tasks of 35 rows, 2 validation tasks of 14 rows, 3 test tasks of 21 rows"
    );
    let schools = tasks(loaded.pools);
    let names: Vec<&String> = schools.iter().flat_map(|(_, split)| split.names()).collect();
    let mut sorted: Vec<f64> = names.iter().map(|name| name.parse().unwrap()).collect();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(sorted, (1..=10).map(f64::from).collect::<Vec<_>>());
    // Labels are standardised over the training tasks alone: a row of another school is decoded to its score.
    let target = &loaded.schema.targets[0];
    let test = schools.test.as_ref().unwrap();
    let episode = test.episodes(3, 2, 1, "test", 0..1).unwrap();
    let scores = Vec::<f64>::try_from(target.decode(&episode.support_y).unwrap().reshape([-1])).unwrap();
    let school = (scores[0] / 100.0).floor();
    assert!(
        names.contains(&&format!("{}.0", school + 1.0))
            && test.names().contains(&format!("{}.0", school + 1.0))
    );
    for score in scores {
        assert!((score / 100.0).floor() == school && (score - score.round()).abs() < 1e-3, "{score}");
    }
    assert_eq!(test.width(), 3);
}

#[test]
fn tasks_with_too_few_rows_are_left_out_and_named() {
    let small = format!("{}99,1,f,5\n99,2,m,6\n", pupils());
    let lists = SCHOOLS.replace("shots = 3", "shots = 2");
    let loaded = load(&small, &lists).unwrap();
    let notes: Vec<String> = loaded.report.notes.iter().map(ToString::to_string).collect();
    let says = "1 tasks have no more than 2 labelled rows, the number of `shots`, and are left out: `99`";
    assert!(notes.iter().any(|note| note == says), "{notes:?}");
}

#[test]
fn each_value_of_a_column_can_be_a_class() {
    let table = pupils().replace("school", "species");
    let text = "
        classes_by = 'species'
        inputs = { numeric = ['age', 'score'] }
        split.random = { test = 0.4, seed = 1 }
        ways = 2
        shots = 1
        queries = 3
    ";
    let loaded = load(&table, text).unwrap();
    assert_eq!(loaded.report.summary(), "data: 6 train classes of 48 rows, 4 test classes of 32 rows");
    let TablePools::Classes(pools, spec) = loaded.pools else { panic!("these are tasks") };
    assert_eq!(spec, EpisodeSpec { ways: 2, shots: 1, queries: 3 });
    let episode = pools.test.unwrap().episodes(spec, 0, "test", 0..4).unwrap();
    // A missing score has an input of its own.
    assert_eq!((episode.support_x.size(), episode.query_y.size()), (vec![4, 2, 3], vec![4, 6]));
    assert!(episode.query_x.isfinite().all().double_value(&[]) > 0.0);
}

#[test]
fn tasks_of_ones_own_have_examples_and_queries() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("t.csv"), pupils()).unwrap();
    let family: TableEpisodes = toml::from_str(&format!("source.path = 't.csv'\n{SCHOOLS}")).unwrap();
    let schema = family.load(dir.path()).unwrap().schema;
    let table = |text: &str| crate::testing::table(text).for_model();
    let examples = table("score,school,age,sex\n5,b,1,f\n7,a,2,m\n,b,3,f\n8,1.0,3,f\n");
    let queries = table("age,sex,school\n1,m,1\n2,f,a\n4,f,1\n");
    let given = family.given(&schema, &examples, &queries).unwrap();
    let form: Vec<_> =
        given.iter().map(|task| (task.name.as_deref(), task.support_y.size(), task.rows.clone())).collect();
    assert_eq!(form, [(Some("1.0"), vec![1, 1], vec![0, 2]), (Some("a"), vec![1, 1], vec![1])]);
    let label = schema.targets[0].decode(&given[1].support_y).unwrap().double_value(&[0, 0]);
    assert!((label - 7.0).abs() < 1e-4, "{label}");
    // Without the column all rows are one task.
    let one =
        family.given(&schema, &table("score,age,sex\n5,1,f\n,2,f\n"), &table("age,sex\n1,m\n")).unwrap();
    assert_eq!((one.len(), one[0].support_x.size(), one[0].query_x.size()), (1, vec![1, 3], vec![1, 3]));
    for (examples, queries, says) in [
        (
            "score,age,sex,school\n5,1,f,a\n",
            "age,sex,school\n1,m,z\n",
            "`z` is not a task of which there are examples",
        ),
        ("score,age,sex,school\n,1,f,a\n", "age,sex,school\n1,m,a\n", "no example of task `a` has a label"),
        ("score,age,sex,school\n5,1,f,a\n", "age,sex\n1,m\n", "no column `school`"),
        ("score,age,sex\n5,1,f\n", "age,sex,school\n1,m,a\n", "no column `school`"),
        ("age,sex,school\n1,f,a\n", "age,sex,school\n1,m,a\n", "no column `score`"),
    ] {
        let error = family.given(&schema, &table(examples), &table(queries)).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn classes_of_ones_own_need_not_have_been_seen() {
    let text = "classes_by = 'sex'\ninputs.numeric = ['age']\nways = 2\nshots = 1\nqueries = 1\nsplit.random = { test = 0.5 }";
    let table = |text: &str| crate::testing::table(text).for_model();
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("t.csv"), "age,sex\n1,f\n2,f\n3,m\n4,m\n").unwrap();
    let family: TableEpisodes = toml::from_str(&format!("source.path = 't.csv'\n{text}")).unwrap();
    let schema = family.load(dir.path()).unwrap().schema;
    let given = family.given(&schema, &table("sex,age\nx,1\nd,2\nx,3\n,4\n"), &table("age\n1\n2\n")).unwrap();
    let [task] = given.as_slice() else { panic!("one task") };
    assert_eq!(task.classes, ["d", "x"]);
    assert_eq!(Vec::<i64>::try_from(&task.support_y).unwrap(), [0, 1, 1]);
    assert_eq!(task.rows, [0, 1]);
    let error = family.given(&schema, &table("sex,age\nx,1\n"), &table("age\n1\n")).unwrap_err().to_string();
    assert!(error.contains("has the rows of one class"), "{error}");
}

#[test]
fn digests_tell_the_table_and_who_is_judged_by() {
    let load = |text: &str, table: &str| load(table, text).unwrap();
    let (first, table) = (load(SCHOOLS, &pupils()), pupils());
    let other_seed = load(&SCHOOLS.replace("seed = 1", "seed = 3"), &table);
    assert_eq!(first.digest, other_seed.digest);
    assert_ne!(first.split_digest, other_seed.split_digest);
    assert_ne!(first.digest, load(SCHOOLS, &table.replace("1.0,0,f,0\n", "1.0,0,f,1\n")).digest);
}

#[test]
fn what_describes_no_tasks_is_refused_before_a_table_is_read() {
    for (from, to, says) in [
        ("tasks_by = 'school'", "", "needs `tasks_by`"),
        ("tasks_by = 'school'", "tasks_by = 'school'\nclasses_by = 'sex'", "set one of them"),
        ("tasks_by = 'school'", "classes_by = 'school'\nways = 2", "the class is what is predicted"),
        ("tasks_by = 'school'", "tasks_by = 'school'\nways = 2", "`ways` is for tasks of classes"),
        ("[{ name = 'score', kind = 'regression' }]", "[]", "there are 0"),
        ("shots = 3", "shots = 0", "`shots` is 0"),
        ("one_hot = ['sex']", "embedding = ['sex']", "take `inputs.one_hot`"),
        (
            "split.random = { validation = 0.2, test = 0.3, seed = 1 }",
            "split = 'folders'",
            "for folders of pictures",
        ),
    ] {
        let family: TableEpisodes =
            toml::from_str(&format!("source.path = 'absent.csv'\n{}", SCHOOLS.replace(from, to))).unwrap();
        let error = family.check().unwrap_err().to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
}
