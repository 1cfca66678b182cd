//! Two tasks on one shared parameter, through `manytask-meta` alone: the Gramian of their gradients and the min-norm point.

use manytask_meta::multitask::Jacobian;
use manytask_meta::tensor::{Device, Graph, Init, Kind, Layout, Role, Tensor, jacobian};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut layout = Layout::builder();
    let w = layout.add("w", &[2], Init::Zeros, Role::Weight)?;
    let params = layout.build().init(0, Kind::Double, Device::Cpu)?.require_grad()?;

    // Task i pulls the parameter to its own target: lᵢ = ‖w − targetᵢ‖².
    let targets = [Tensor::from_slice(&[1.0, 0.0]), Tensor::from_slice(&[0.0, 2.0])];
    let losses: Vec<Tensor> = targets
        .iter()
        .map(|target| params.get(w).map(|w| (w - target).square().sum(Kind::Double)))
        .collect::<Result<_, _>>()?;

    let rows = jacobian(&Tensor::stack(&losses, 0), &params, Graph::Free)?;
    let gradients = Jacobian::new(&rows.flatten()?)?;
    let gramian = gradients.gramian()?;

    // The shortest combination of two gradients, in closed form (MGDA for two tasks).
    let (a, b, c) = (gramian.at(0, 0), gramian.at(0, 1), gramian.at(1, 1));
    let first = ((c - b) / (a + c - 2.0 * b)).clamp(0.0, 1.0);
    let direction = Vec::<f64>::try_from(gradients.combine(&[first, 1.0 - first])?)?;
    println!("weights [{first}, {}], direction {direction:?}", 1.0 - first);
    assert!((direction[0] + 1.6).abs() < 1e-12 && (direction[1] + 0.8).abs() < 1e-12);
    Ok(())
}
