use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Tensor, masked_fill};

use super::{Augmentation, Flip};
use crate::Result;

/// Pictures `[N, C, H, W]` that are mirrored, turned, made larger and shifted, each by draws of its own; what comes from outside is 0. Between pixels it is
/// bilinear; mirrored and shifted alone, pixels stay what they are.
pub(super) fn moved(settings: &Augmentation, pixels: &Tensor, key: Key) -> Result<Tensor> {
    let &[count, _, height, width] = pixels.size().as_slice() else { return Ok(pixels.shallow_clone()) };
    if count == 0 {
        return Ok(pixels.shallow_clone());
    }
    let draws = key.uniform(0.0, 1.0, &[count, 6], Kind::Double, Device::Cpu)?;
    let draws = Vec::<f64>::try_from(draws.f_reshape([-1])?)?;
    let matrices: Vec<f32> =
        draws.chunks(6).flat_map(|draws| matrix(settings, draws, (height as f64, width as f64))).collect();
    let matrices = Tensor::f_from_slice(&matrices)?.f_reshape([count, 2, 3])?.f_to_device(pixels.device())?;
    let grid = Tensor::f_affine_grid_generator(&matrices, pixels.size(), false)?;
    let (bilinear, zeros) = (0, 0);
    Ok(pixels.f_grid_sampler(&grid, bilinear, zeros, false)?)
}

/// Where a point of the new picture comes from: a matrix of points whose coordinates go from −1 to 1 over the picture, row by row.
pub(super) fn matrix(settings: &Augmentation, draws: &[f64], (height, width): (f64, f64)) -> [f32; 6] {
    let draw = |place: usize| draws.get(place).copied().unwrap_or(0.5);
    let around = |place: usize, most: f64| (2.0 * draw(place) - 1.0) * most;
    let angle = around(0, settings.rotation.unwrap_or(0.0)).to_radians();
    let scale = 1.0 + around(1, settings.zoom.unwrap_or(0.0));
    let border = settings.crop.map_or(0.0, f64::from);
    let shift = |place: usize| (draw(place) * (2.0 * border + 1.0)).floor().min(2.0 * border) - border;
    let mirrored = |place: usize, flips: [Flip; 2]| {
        if settings.flip.is_some_and(|flip| flips.contains(&flip)) && draw(place) < 0.5 { -1.0 } else { 1.0 }
    };
    let (across, down) =
        (mirrored(4, [Flip::Horizontal, Flip::Both]), mirrored(5, [Flip::Vertical, Flip::Both]));
    let (cosine, sine) = (angle.cos() / scale, angle.sin() / scale);
    let (dx, dy) = (shift(2), shift(3));
    [
        across * cosine,
        across * sine * height / width,
        -across * (cosine * dx + sine * dy) * 2.0 / width,
        -down * sine * width / height,
        down * cosine,
        down * (sine * dx - cosine * dy) * 2.0 / height,
    ]
    .map(|x| x as f32)
}

/// Pictures in each of which a square is 0, at a place of its own within the picture.
pub(super) fn cut(pixels: &Tensor, side: i64, key: Key) -> Result<Tensor> {
    let &[count, _, height, width] = pixels.size().as_slice() else { return Ok(pixels.shallow_clone()) };
    let inside = |size: i64, shape: [i64; 4], key: Key| -> Result<Tensor> {
        let most = (size - side).max(0) as f64 + 1.0;
        let first = key.uniform(0.0, most, &[count, 1, 1, 1], Kind::Double, pixels.device())?.f_floor()?;
        let places = Tensor::f_arange(size, (Kind::Double, pixels.device()))?.f_reshape(shape)?;
        let after = places.f_sub(&first)?;
        Ok(after.f_ge(0.0)?.f_logical_and(&after.f_lt(side as f64)?)?)
    };
    let rows = inside(height, [1, 1, height, 1], key.within(0))?;
    let columns = inside(width, [1, 1, 1, width], key.within(1))?;
    Ok(masked_fill(pixels, &rows.f_logical_and(&columns)?, 0.0)?)
}
