//! Lines of `metrics.jsonl`.

use super::*;

fn a_record(step: u64, split: Split) -> Record {
    Origin { step, epoch: Some(0), split }.record(Some("income"), "loss", Some(0.5))
}

#[test]
fn lines_behind_a_step_are_cut_off_and_so_is_half_a_line() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let mut metrics = folder.metrics(UpTo::Step(0)).unwrap();
    metrics.write(&[a_record(1, Split::Train)]).unwrap();
    metrics.write(&[a_record(2, Split::Train), a_record(2, Split::Validation)]).unwrap();
    metrics.write(&[a_record(3, Split::Train)]).unwrap();
    let path = folder.path().join(METRICS);
    fs_err::write(&path, text(&path) + "{\"step\": 3, \"lo").unwrap();
    let mut again = folder.metrics(UpTo::Step(2)).unwrap();
    assert_eq!((text(&path).lines().count(), again.last()), (3, 2));
    again.write(&[a_record(3, Split::Validation)]).unwrap();
    again.sync().unwrap();
    assert_eq!(
        text(&path).split_inclusive('\n').next_back(),
        Some(a_record(3, Split::Validation).line().as_str())
    );
    let last = folder.metrics(UpTo::Step(99)).unwrap();
    assert_eq!((text(&path).lines().count(), last.damaged(), last.form()), (4, &[][..], Form::Present));
    // The evaluation after step 2 comes again.
    drop(folder.metrics(UpTo::Evaluation(2)).unwrap());
    assert_eq!(
        text(&path).split_inclusive('\n').next_back(),
        Some(a_record(2, Split::Train).line().as_str())
    );
}

#[test]
fn a_damaged_line_stays_and_takes_none_behind_it_away() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let path = folder.path().join(METRICS);
    let line = |step: u64| a_record(step, Split::Train).line();
    let all = |damage: &str| [line(1), damage.to_owned(), line(3), line(4)].concat();
    let later = line(22);
    for damage in ["\0\0\0\n", "{\"stfp\":2}\n", "{\"step\":2\n", "\n", &later] {
        fs_err::write(&path, all(damage)).unwrap();
        let metrics = folder.metrics(UpTo::Step(3)).unwrap();
        assert_eq!(metrics.damaged(), [2], "{damage:?}");
        assert_eq!(text(&path), [line(1), damage.to_owned(), line(3)].concat());
    }
    fs_err::write(&path, line(1) + "broken\n" + &line(9)).unwrap();
    assert_eq!(folder.metrics(UpTo::Step(1)).unwrap().damaged(), [2]);
    assert_eq!(text(&path), line(1) + "broken\n");
}

/// What earlier versions wrote, with a damaged line and half a one.
#[test]
fn lines_of_earlier_versions_are_written_anew() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let path = folder.path().join(METRICS);
    let events = r#"{"epoch":0,"epoch_losses":{"y":0.67},"learning_rate":0.01,"losses":{"y":0.64},"part":"train","step":6,"weights":{"y":0.5}}
broken
{"improved":true,"part":"validation","step":6,"tasks":[{"higher_is_better":true,"loss":0.63,"metrics":[["roc_auc",0.93],["f1",null]],"name":"y"}]}
{"epoch":1,"learning_rate":0.01,"losses":{},"part":"train","step":12}
{"epoch":1,"lea"#;
    fs_err::write(&path, events).unwrap();
    let metrics = folder.metrics(UpTo::Step(6)).unwrap();
    assert_eq!((metrics.form(), metrics.last(), metrics.damaged()), (Form::Earlier, 6, &[5][..]));
    let expected = r#"{"step":6,"epoch":0,"split":"train","task":"y","metric":"loss","value":0.64}
{"step":6,"epoch":0,"split":"train","task":"y","metric":"weight","value":0.5}
{"step":6,"epoch":0,"split":"train","task":null,"metric":"learning_rate","value":0.01}
{"step":6,"epoch":0,"split":"train","task":"y","metric":"epoch_loss","value":0.67}
broken
{"step":6,"epoch":null,"split":"validation","task":"y","metric":"loss","value":0.63}
{"step":6,"epoch":null,"split":"validation","task":"y","metric":"roc_auc","value":0.93}
{"step":6,"epoch":null,"split":"validation","task":"y","metric":"f1","value":null}
{"step":6,"epoch":null,"split":"validation","task":null,"metric":"improved","value":1.0}
"#;
    assert_eq!(text(&path), expected);
    assert_eq!(folder.metrics(UpTo::Step(6)).unwrap().form(), Form::Present);
}
