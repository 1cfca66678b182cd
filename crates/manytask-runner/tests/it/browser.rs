//! Pages in a browser: nothing goes wrong, nothing is wider than there is room for, and they are light or dark as is asked. Where no
//! Chromium is installed there is nothing to look with, which is said.

use std::path::PathBuf;
use std::process::Command;

use crate::command::Place;

/// Measures the page at a width: how far to the right anything reaches that does not scroll by itself.
const PROBE: &str = "<script>
const root = document.documentElement, seen = [];
for (const width of [400, 1200]) {
  root.style.width = width + 'px';
  let most = 0;
  for (const element of document.querySelectorAll('body *:not(.wide *):not(pre *)')) {
    most = Math.max(most, element.getBoundingClientRect().right);
  }
  seen.push(width + ':' + Math.ceil(most));
}
root.setAttribute('data-seen', seen.join(' ') + ' ' + getComputedStyle(document.body).backgroundColor);
</script></body>";

fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// What the browser saw of a page, and what it had to complain of.
fn seen(program: &PathBuf, place: &Place, page: &str, scheme: u8) -> (String, String) {
    place.write("probe.html", place.read(page).replace("</body>", PROBE));
    let mut command = Command::new(program);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]);
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command.arg(format!("--user-data-dir={}", place.at("browser").display()));
    let output = command.arg(place.at("probe.html")).output().unwrap();
    let (page, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let seen = page.split_once("data-seen=\"").and_then(|(_, rest)| rest.split_once('"'));
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    (seen.unwrap_or_else(|| panic!("{said}")).0.to_owned(), complaints.join("\n"))
}

#[test]
fn pages_fit_at_any_width_and_are_light_or_dark() {
    let Some(program) = chromium() else {
        eprintln!("skipped: no Chromium is installed");
        return;
    };
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "training.diagnose_every_steps=5"]);
    place.good(&["report", "runs/a"]);
    let rates = "optimizer.learning_rate=1e-3,1e-2";
    place.good(&["train", "a.toml", "--quiet", "training.epochs=1", rates, "network.trunk.hidden=[4],[8]"]);
    place.good(&["report", "runs/a-sweep", "--no-importances"]);
    for page in ["runs/a/report.html", "runs/a-sweep/report.html"] {
        for (scheme, back) in [(0, "rgb(20, 24, 31)"), (1, "rgb(255, 255, 255)")] {
            let (seen, complaints) = seen(&program, &place, page, scheme);
            assert_eq!(complaints, "", "{page}");
            assert!(seen.ends_with(back), "{page}: {seen}");
            for pair in seen.split(' ').take(2) {
                let (width, most) = pair.split_once(':').unwrap();
                let (width, most): (f64, f64) = (width.parse().unwrap(), most.parse().unwrap());
                assert!(most <= width && most > width / 2.0, "{page}: {seen}");
            }
        }
    }
}
