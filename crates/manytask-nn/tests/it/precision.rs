use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig, Norm};
use manytask_nn::{BatchNormPolicy, Builder, Context, Module, Precision};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, Params, Tensor, grad, hvp};

fn perceptron(norm: Norm, precision: Precision) -> (Box<dyn Module>, Params) {
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![32, 32], output: Some(3), norm, ..MlpConfig::default() };
    let mut root = Builder::new(&mut layout);
    let mut root = root.with_precision(precision);
    let net = Mlp::new(&mut root.scope("net"), 8, &config).unwrap();
    (Box::new(net), layout.build().init(1, Kind::Float, Device::Cpu).unwrap())
}

fn blocks(precision: Precision) -> (Box<dyn Module>, Params) {
    let mut layout = Layout::builder();
    let config = Conv4Config { hidden: 8, blocks: 2, output: Some(3), ..Conv4Config::default() };
    let mut root = Builder::new(&mut layout);
    let mut root = root.with_precision(precision);
    let net = Conv4::new(&mut root, 1, 8, &config).unwrap();
    (Box::new(net), layout.build().init(1, Kind::Float, Device::Cpu).unwrap())
}

/// Output, gradient of a smooth loss, and a Hessian product, all in f32.
fn derivatives(net: &dyn Module, params: &Params, x: &Tensor) -> [Tensor; 3] {
    let params = params.require_grad().unwrap();
    let mut cx = Context::train(Key::new(1, "cx")).with_batch_norm(BatchNormPolicy::Batch);
    let y = net.forward(&params, x, &mut cx).unwrap().to_kind(Kind::Float);
    let loss = y.softmax(-1, Kind::Float).square().sum(Kind::Float);
    let gradient = grad(&loss, &params, Graph::Differentiable).unwrap();
    assert!(gradient.leaves().iter().all(|leaf| leaf.kind() == Kind::Float));
    let product = hvp(&loss, &params, &gradient, Graph::Free).unwrap();
    [y.detach(), gradient.flatten().unwrap().detach(), product.flatten().unwrap()]
}

fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.reshape([-1]).to_kind(Kind::Double), b.reshape([-1]).to_kind(Kind::Double));
    (a.dot(&b) / (a.norm() * b.norm())).double_value(&[])
}

#[test]
fn bfloat16_is_near_in_value_gradient_and_second_order() {
    let numbers = Key::new(2, "x").normal(&[16, 8], Kind::Float, Device::Cpu).unwrap();
    let pictures = Key::new(2, "x").normal(&[16, 1, 8, 8], Kind::Float, Device::Cpu).unwrap();
    let nets = |precision| {
        [
            (perceptron(Norm::None, precision), &numbers),
            (perceptron(Norm::Batch, precision), &numbers),
            (perceptron(Norm::Layer, precision), &numbers),
            (blocks(precision), &pictures),
        ]
    };
    for (((half, params), x), ((full, _), _)) in
        nets(Precision::Bfloat16).into_iter().zip(nets(Precision::Full))
    {
        let y = half.forward(&params, x, &mut Context::eval()).unwrap();
        assert_eq!(y.kind(), Kind::BFloat16, "{half:?}");
        assert!(half.primitives().is_err(), "a fused pass would be in f32");
        let stacked = (params.expand_tasks(2).unwrap(), Tensor::stack(&[x, x], 0));
        for (params, x) in [(&params, x), (&stacked.0, &stacked.1)] {
            let (found, expected) =
                (derivatives(half.as_ref(), params, x), derivatives(full.as_ref(), params, x));
            for ((found, expected), least) in found.iter().zip(&expected).zip([0.9999, 0.998, 0.998]) {
                let near = cosine(found, expected);
                assert!(near > least && found != expected, "{half:?}: {near}");
                let ratio = (found.norm() / expected.norm()).double_value(&[]);
                assert!((0.95..1.05).contains(&ratio), "{half:?}: {ratio}");
            }
        }
    }
}

#[test]
fn running_statistics_stay_in_the_element_type_of_the_parameters() {
    let (net, mut params) = blocks(Precision::Bfloat16);
    let x = Key::new(2, "x").normal(&[4, 1, 8, 8], Kind::Float, Device::Cpu).unwrap();
    let mut cx = Context::train(Key::new(1, "cx"));
    assert_eq!(net.forward(&params, &x, &mut cx).unwrap().size(), [4, 3]);
    let before = params.copy().unwrap();
    Context::apply_buffers(&mut params, cx.take_buffers()).unwrap();
    assert!(before.max_difference(&params).unwrap() > 1e-3);
    assert!(params.leaves().iter().all(|leaf| leaf.kind() == Kind::Float));
    assert_eq!(net.forward(&params, &x, &mut Context::eval()).unwrap().size(), [4, 3]);
}
