//! Pictures of simple rooms that are computed, with a class, a depth and a normal for each pixel.

mod render;
#[cfg(test)]
mod tests;

use manytask_tensor::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use self::render::Room;
use crate::bytes::digest;
use crate::{
    DataReport, Error, Images, Inputs, MISSING_CLASS, Normalisation, Result, SplitData, Splits, TargetKind,
    TaskData,
};

/// What a pixel can show, in the order of the classes.
pub const SCENE_CLASSES: [&str; 4] = ["wall", "floor", "sphere", "box"];

/// Pictures of a room with spheres and boxes, lit from a side, with what is usual of indoor scenes such as `NYUv2` as labels of each
/// pixel: `segmentation` (wall, floor, sphere, box), `depth` (the distance from the camera's plane, in metres) and `normals` (of
/// length 1, x to the right, y down, z away from the camera).
///
/// Each picture is a function of the seed, the split and its number. A rectangle of it can have no labels, as the shadows of a depth
/// sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenes {
    /// Pictures of the training split.
    pub train: usize,
    /// Pictures of the validation split; 0: there is none.
    pub validation: usize,
    /// Pictures of the test split; 0: there is none.
    pub test: usize,
    /// Rows of pixels.
    pub height: i64,
    /// Columns of pixels.
    pub width: i64,
    /// The most spheres and boxes in a room; one at least.
    pub objects: u32,
    /// The deviation of the noise of pixels, whose values are from 0 to 1.
    pub noise: f64,
    /// The share of pictures with a rectangle without labels.
    pub holes: f64,
    /// What every draw is keyed by.
    pub seed: u64,
}

impl Default for Scenes {
    fn default() -> Self {
        Self {
            train: 400,
            validation: 100,
            test: 100,
            height: 48,
            width: 64,
            objects: 5,
            noise: 0.02,
            holes: 0.5,
            seed: 0,
        }
    }
}

/// Pictures with their labels.
#[derive(Debug)]
pub struct LoadedScenes {
    /// Pictures `[N, 3, H, W]` and labels of each split: `segmentation` `[N, H, W]` int64, `depth` `[N, H, W]` standardised,
    /// `normals` `[N, H, W, 3]`.
    pub splits: Splits<SplitData>,
    /// The mean and the deviation of the depths of the training split, in metres.
    pub depth: (f64, f64),
    /// A digest of the settings, whose function the pictures are.
    pub digest: String,
    /// How many there are of each split, and of which labels.
    pub report: DataReport,
}

impl Scenes {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and its range.
    pub fn check(&self) -> Result<()> {
        let counts = [("train", self.train, 1), ("validation", self.validation, 0), ("test", self.test, 0)];
        for (key, value, least) in counts {
            if value < least || value > 1_000_000 {
                let what = format!("scenes: `{key}` is {value}; it must be from {least} to 1000000");
                return Err(Error::config(key, what));
            }
        }
        for (key, value) in [("height", self.height), ("width", self.width)] {
            if !(4..=1024).contains(&value) {
                return Err(Error::config(
                    key,
                    format!("scenes: `{key}` is {value}; it must be from 4 to 1024 pixels"),
                ));
            }
        }
        if !(1..=64).contains(&self.objects) {
            let what = format!("scenes: `objects` is {}; it must be from 1 to 64", self.objects);
            return Err(Error::config("objects", what));
        }
        for (key, value) in [("noise", self.noise), ("holes", self.holes)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(
                    key,
                    format!("scenes: `{key}` is {value}; it must be from 0 to 1"),
                ));
            }
        }
        Ok(())
    }

    /// Computes all pictures.
    ///
    /// # Errors
    /// As [`Scenes::check`], and when memory runs out.
    pub fn load(&self) -> Result<LoadedScenes> {
        self.check()?;
        let some = |count: usize, split: &str| (count > 0).then(|| self.pictures(count, split)).transpose();
        let pictures = Splits {
            train: self.pictures(self.train, "train")?,
            validation: some(self.validation, "validation")?,
            test: some(self.test, "test")?,
        };
        let depth = moments(&pictures.train.depth);
        let splits = pictures.map(|pictures| pictures.split(self, depth))?;
        let kinds = [TargetKind::Multiclass, TargetKind::Regression, TargetKind::Regression];
        let mut report = DataReport::of(&splits.as_ref().map(rows_of_pixels)?, &kinds)?;
        report.rows = splits.iter().map(|(name, split)| (name.to_owned(), split.rows(0))).collect();
        report.inputs.image = vec![3, self.height, self.width];
        if let [segmentation, depths, _] = report.targets.as_mut_slice() {
            segmentation.classes = SCENE_CLASSES.map(str::to_owned).to_vec();
            depths.standardised = Some(depth);
        }
        let written = format!("{self:?}");
        Ok(LoadedScenes {
            splits,
            depth,
            digest: digest([b"scenes 1".as_slice(), written.as_bytes()]),
            report,
        })
    }

    fn pictures(&self, count: usize, split: &str) -> Result<Pictures> {
        let pixels = (self.height * self.width) as usize;
        let mut all = Pictures::with_room(count, pixels)?;
        for number in 0..count as u64 {
            Room::draw(self, split, number).render(self, &mut all);
        }
        Ok(all)
    }
}

/// The pixels of some pictures, one picture after the other.
#[derive(Debug, Default)]
struct Pictures {
    /// Red, green and blue of each picture, one plane after the other.
    colours: Vec<u8>,
    classes: Vec<i64>,
    depth: Vec<f32>,
    normals: Vec<f32>,
}

impl Pictures {
    fn with_room(count: usize, pixels: usize) -> Result<Self> {
        let mut all = Self::default();
        let many = count.checked_mul(pixels);
        let room = |of: usize| many.and_then(|many| many.checked_mul(of)).unwrap_or(usize::MAX);
        let full = |_| Error::config("train", "scenes: so many pictures do not fit in memory; take fewer");
        all.colours.try_reserve_exact(room(3)).map_err(full)?;
        all.classes.try_reserve_exact(room(1)).map_err(full)?;
        all.depth.try_reserve_exact(room(1)).map_err(full)?;
        all.normals.try_reserve_exact(room(3)).map_err(full)?;
        Ok(all)
    }

    /// With depths standardised by the mean and the deviation.
    fn split(self, scenes: &Scenes, (mean, std): (f64, f64)) -> Result<SplitData> {
        let (height, width) = (scenes.height, scenes.width);
        let pixels = Tensor::f_from_slice(&self.colours)?.f_reshape([-1, 3, height, width])?;
        let images = Images::new(pixels, Normalisation::default())?;
        let depth: Vec<f32> =
            self.depth.iter().map(|depth| ((f64::from(*depth) - mean) / std) as f32).collect();
        let labels = [
            ("segmentation", Tensor::f_from_slice(&self.classes)?.f_reshape([-1, height, width])?),
            ("depth", Tensor::f_from_slice(&depth)?.f_reshape([-1, height, width])?),
            ("normals", Tensor::f_from_slice(&self.normals)?.f_reshape([-1, height, width, 3])?),
        ];
        let tasks = labels.map(|(name, target)| TaskData { name: name.to_owned(), target, weight: None });
        SplitData::new(vec![Inputs::Images(images)], tasks.into())
    }
}

/// The same labels as rows, `[N · H · W]` and `[N · H · W, 3]`, with inputs that are none.
fn rows_of_pixels(split: &SplitData) -> Result<SplitData> {
    let tasks = split.tasks.iter().map(|task| {
        let target = task.target.f_flatten(0, 2)?;
        Ok(TaskData { name: task.name.clone(), target, weight: None })
    });
    let tasks = tasks.collect::<Result<Vec<_>>>()?;
    let rows = tasks.first().and_then(|task| task.target.size().first().copied()).unwrap_or_default();
    let none = Tensor::f_zeros([rows, 0], (Kind::Float, manytask_tensor::Device::Cpu))?;
    SplitData::new(vec![Inputs::numbers(none)], tasks)
}

/// Mean and deviation of the numbers that are there.
fn moments(numbers: &[f32]) -> (f64, f64) {
    let known = || numbers.iter().filter(|number| !number.is_nan()).map(|number| f64::from(*number));
    let count = known().count().max(1) as f64;
    let mean = known().sum::<f64>() / count;
    let std = (known().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
    (mean, if std > 0.0 { std } else { 1.0 })
}

/// The label of a pixel without one.
const NO_CLASS: i64 = MISSING_CLASS;
