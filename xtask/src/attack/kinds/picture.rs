//! Damaged pictures and archives of pictures.

use anyhow::Result;

use crate::attack::mutate;
use crate::attack::pictures::{FOLDER, HALVES, archive, archives, drawings};
use crate::attack::scenario::CONFIG;
use crate::attack::trial::Trial;

/// A small learner of drawings.
const LEARNER: &str = "seed = 1\nthreads = 1\n[data]\nkind = \"omniglot\"\nfolder = \"omniglot\"\n\
    split.random = { train = 5, validation = 2, seed = 1 }\nways = 2\nshots = 1\nqueries = 2\nsize = 16\n\
    [network]\nkind = \"mlp\"\nhidden = [4]\n[learner]\nkind = \"maml\"\n[aggregator]\nkind = \"equal_weights\"\n\
    [optimizer]\nkind = \"sgd\"\nlearning_rate = 0.01\n[training]\nsteps = 2\ntasks_per_step = 2\n\
    [evaluation]\ntasks = 2\nqueries = 2\n";

/// Archives with damage inside or outside.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    const DAMAGES: usize = 4;
    fs_err::write(trial.at(CONFIG), LEARNER)?;
    fs_err::create_dir_all(trial.at(FOLDER))?;
    for _ in 0..DAMAGES {
        let mut files = archives(&mut trial.rng)?;
        let half = trial.rng.pick(&HALVES);
        let name = format!("{FOLDER}/{half}.zip");
        let mut damaged = files.remove(&name).unwrap_or_default();
        let what = if trial.rng.chance(0.5) {
            mutate::bytes(&mut trial.rng, &mut damaged)
        } else {
            let mut drawings = drawings(&mut trial.rng, half)?;
            let place = trial.rng.below(drawings.len());
            let mut what = String::new();
            if let Some((path, picture)) = drawings.get_mut(place) {
                what = mutate::bytes(&mut trial.rng, picture);
                if trial.rng.chance(0.2) {
                    path.insert_str(
                        trial.rng.below(path.len()),
                        trial.rng.clone().pick(&["/", "../", "\0", "é"]),
                    );
                }
            }
            damaged = archive(&drawings)?;
            what + " in a picture"
        };
        for (path, content) in files.iter().chain([(&name, &damaged)]) {
            fs_err::write(trial.at(path), content)?;
        }
        trial.note(&format!("{half}: {what}"))?;
        let _ = fs_err::remove_dir_all(trial.at("runs"));
        trial.command(&["train", CONFIG, "--quiet", "--name", "drawings"])?.expect(&[0, 3, 4])?;
    }
    Ok(())
}
