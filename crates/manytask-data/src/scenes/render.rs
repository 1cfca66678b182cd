//! A room and what a camera at its origin sees of it: x to the right, y down, z ahead.

use manytask_tensor::random::{ChaCha8Rng, stream};
use rand::Rng;
use rand_distr::StandardNormal;

use super::{NO_CLASS, Pictures, Scenes};

type Vector = [f64; 3];

/// The focal length in widths of the picture.
const FOCAL: f64 = 0.8;
/// The side of the floor's tiles in metres, and how much darker every other one is.
const TILE: f64 = 0.5;
const DARKER: f64 = 0.75;
/// The light that comes from everywhere.
const AMBIENT: f64 = 0.35;
/// What draws are keyed by, with the seed, the split and the number.
const PURPOSE: &str = "scenes";

pub(super) struct Room {
    floor: f64,
    wall: Plane,
    objects: Vec<Object>,
    /// Of the wall, the floor and each object.
    colours: Vec<Vector>,
    /// Towards the light, of length 1.
    light: Vector,
    /// Rows and columns without labels.
    hole: Option<[std::ops::Range<i64>; 2]>,
    rng: ChaCha8Rng,
}

/// All points p with `normal · p = offset`.
struct Plane {
    normal: Vector,
    offset: f64,
}

enum Object {
    Sphere { centre: Vector, radius: f64 },
    Box { centre: Vector, half: Vector, turn: f64 },
}

/// Where a ray meets a surface.
struct Hit {
    /// Along z.
    depth: f64,
    normal: Vector,
    class: i64,
    /// Which colour.
    of: usize,
}

impl Room {
    /// The room with this number.
    pub(super) fn draw(scenes: &Scenes, split: &str, number: u64) -> Self {
        let of_split = ["train", "validation", "test"].iter().position(|name| *name == split).unwrap_or(3);
        let mut rng = stream(scenes.seed, PURPOSE, of_split as u64, number);
        let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
        let floor = between(0.8, 1.5);
        let (ahead, turn) = (between(4.0, 7.0), between(-0.5, 0.5));
        let wall = Plane { normal: [turn.sin(), 0.0, -turn.cos()], offset: -ahead * turn.cos() };
        let count = between(1.0, f64::from(scenes.objects) + 1.0).floor() as usize;
        let objects: Vec<Object> = (0..count)
            .map(|_| {
                let z = between(2.0, ahead - 1.0);
                let x = between(-0.5, 0.5) * z;
                if between(0.0, 1.0) < 0.5 {
                    let radius = between(0.2, 0.6);
                    Object::Sphere { centre: [x, floor - radius, z], radius }
                } else {
                    let half = [between(0.15, 0.5), between(0.15, 0.6), between(0.15, 0.5)];
                    Object::Box { centre: [x, floor - half[1], z], half, turn: between(0.0, 1.6) }
                }
            })
            .collect();
        let colours = (0..count + 2).map(|_| [0; 3].map(|_: i32| between(0.2, 1.0))).collect();
        let light = unit([between(-1.0, 1.0), between(-1.5, -0.5), between(-1.0, -0.2)]);
        let mut span = |side: i64| {
            let length = (side as f64 * between(0.1, 0.5)).ceil() as i64;
            let start = ((side - length) as f64 * between(0.0, 1.0)).round() as i64;
            start..start + length
        };
        let hole = [span(scenes.height), span(scenes.width)];
        let hole = (between(0.0, 1.0) < scenes.holes).then_some(hole);
        Self { floor, wall, objects, colours, light, hole, rng }
    }

    /// Adds the picture and its labels.
    pub(super) fn render(mut self, scenes: &Scenes, all: &mut Pictures) {
        let (height, width) = (scenes.height, scenes.width);
        let mut planes: [Vec<u8>; 3] = Default::default();
        for row in 0..height {
            for column in 0..width {
                let focal = FOCAL * width as f64;
                let across = |place: i64, side: i64| (place as f64 + 0.5 - side as f64 / 2.0) / focal;
                let ray = [across(column, width), across(row, height), 1.0];
                let hit = self.hit(ray);
                let colour = self.colour(ray, &hit);
                for (plane, value) in planes.iter_mut().zip(colour) {
                    let noise: f64 = self.rng.sample(StandardNormal);
                    plane.push((255.0 * (value + scenes.noise * noise)).round().clamp(0.0, 255.0) as u8);
                }
                let unlabelled = self
                    .hole
                    .as_ref()
                    .is_some_and(|[rows, columns]| rows.contains(&row) && columns.contains(&column));
                if unlabelled {
                    all.classes.push(NO_CLASS);
                    all.depth.push(f32::NAN);
                    all.normals.extend([f32::NAN; 3]);
                } else {
                    all.classes.push(hit.class);
                    all.depth.push(hit.depth as f32);
                    all.normals.extend(hit.normal.map(|x| x as f32));
                }
            }
        }
        all.colours.extend(planes.into_iter().flatten());
    }

    /// The nearest surface on a ray from the camera, whose third number is 1.
    fn hit(&self, ray: Vector) -> Hit {
        let wall = self.wall.depth(ray);
        let mut nearest = Hit { depth: wall, normal: self.wall.normal, class: 0, of: 0 };
        let floor = Plane { normal: [0.0, -1.0, 0.0], offset: -self.floor };
        let under = floor.depth(ray);
        if under > 0.0 && under < nearest.depth {
            nearest = Hit { depth: under, normal: floor.normal, class: 1, of: 1 };
        }
        for (object, of) in self.objects.iter().zip(2..) {
            if let Some((depth, normal)) = object.hit(ray)
                && depth < nearest.depth
            {
                let class = if matches!(object, Object::Sphere { .. }) { 2 } else { 3 };
                nearest = Hit { depth, normal, class, of };
            }
        }
        nearest
    }

    /// Lambert's law, from 0 to 1.
    fn colour(&self, ray: Vector, hit: &Hit) -> Vector {
        let own = self.colours.get(hit.of).copied().unwrap_or([0.5; 3]);
        let [x, z] = [ray[0], ray[2]].map(|along| (along * hit.depth / TILE).floor() as i64);
        let tile = if hit.class == 1 && (x + z).rem_euclid(2) == 1 { DARKER } else { 1.0 };
        let lit = AMBIENT + (1.0 - AMBIENT) * dot(hit.normal, self.light).max(0.0);
        own.map(|value| value * lit * tile)
    }
}

impl Plane {
    /// Behind the camera it is negative, of a parallel ray infinite.
    fn depth(&self, ray: Vector) -> f64 {
        self.offset / dot(self.normal, ray)
    }
}

impl Object {
    /// The depth and the normal where a ray enters it.
    fn hit(&self, ray: Vector) -> Option<(f64, Vector)> {
        match self {
            Self::Sphere { centre, radius } => {
                // |t ray − centre|² = radius², the smaller t.
                let (a, b) = (dot(ray, ray), dot(ray, *centre));
                let rest = b * b - a * (dot(*centre, *centre) - radius * radius);
                let t = (b - rest.max(0.0).sqrt()) / a;
                let outward = |t: f64| unit([0, 1, 2].map(|i| t * at(ray, i) - at(*centre, i)));
                (rest > 0.0 && t > 0.0).then(|| (t, outward(t)))
            }
            Self::Box { centre, half, turn } => {
                let (from, along) = (turned([0.0; 3], *centre, *turn), turned(ray, [0.0; 3], *turn));
                // Slabs: the ray is inside where it is inside all three.
                let (mut enters, mut leaves, mut normal) = (f64::NEG_INFINITY, f64::INFINITY, [0.0; 3]);
                for axis in 0..3 {
                    let (start, step, half) = (at(from, axis), at(along, axis), at(*half, axis));
                    let [one, other] = [-half, half].map(|side| (side - start) / step);
                    if one.min(other) > enters {
                        enters = one.min(other);
                        normal = [0, 1, 2].map(|i| if i == axis { -step.signum() } else { 0.0 });
                    }
                    leaves = leaves.min(one.max(other));
                }
                (enters < leaves && enters > 0.0).then(|| (enters, turned(normal, [0.0; 3], -turn)))
            }
        }
    }
}

fn at(v: Vector, axis: usize) -> f64 {
    v.get(axis).copied().unwrap_or_default()
}

/// A point as seen from another, turned about the vertical axis.
fn turned([x, y, z]: Vector, [cx, cy, cz]: Vector, angle: f64) -> Vector {
    let (x, y, z, (sin, cos)) = (x - cx, y - cy, z - cz, angle.sin_cos());
    [cos * x - sin * z, y, sin * x + cos * z]
}

fn dot([a, b, c]: Vector, [x, y, z]: Vector) -> f64 {
    a * x + b * y + c * z
}

fn unit(v: Vector) -> Vector {
    let length = dot(v, v).sqrt();
    v.map(|x| x / length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Object, Vector};

    pub(crate) fn sphere(centre: Vector, radius: f64) -> impl Fn(Vector) -> Option<(f64, Vector)> {
        move |ray| Object::Sphere { centre, radius }.hit(ray)
    }

    pub(crate) fn cube(centre: Vector, half: Vector, turn: f64) -> impl Fn(Vector) -> Option<(f64, Vector)> {
        move |ray| Object::Box { centre, half, turn }.hit(ray)
    }
}
