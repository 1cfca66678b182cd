//! Errors say which operation, on what, and nothing of C++.

use manytask_tensor::{Device, Error, Kind, OpContext, Tensor};

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

fn assert_clean(error: &Error) {
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("Exception raised from"), "{text}");
    assert!(!text.contains("Internal torch error"), "{text}");
}

#[test]
fn an_operation_names_itself_and_its_shapes() {
    let (a, b, c) = (zeros(&[2, 3]), zeros(&[4, 5]), zeros(&[]));
    let error = a.f_matmul(&b).op("linear `head`", &[&a, &b]).unwrap_err();
    assert_clean(&error);
    let text = error.to_string();
    assert!(text.starts_with("linear `head` on [2, 3] and [4, 5]: mat1 and mat2 shapes"), "{text}");
    let error = Tensor::f_where_self(&b, &a, &c).op("where", &[&a, &b, &c]).unwrap_err();
    assert!(error.to_string().starts_with("where on [2, 3], [4, 5] and []: "), "{error}");
    assert_clean(&error);
}

#[test]
fn every_kind_of_failure_is_one_line() {
    let (a, b) = (zeros(&[2, 3]), zeros(&[4, 5]));
    let failures = [
        a.f_reshape([5]),
        a.f_view([5]),
        a.f_add(&b),
        a.f_select(7, 0),
        a.f_select(0, 7),
        a.f_index_select(0, &b),
        Tensor::f_stack(&[&a, &b], 0),
        Tensor::f_cat(&[&a, &b], 0),
        Tensor::f_linalg_inv(&a),
        a.f_conv2d(&b, None::<Tensor>, [1], [0], [1], 1),
        a.f_to_device(Device::Cuda(0)).and_then(|_| Tensor::f_linalg_inv(&a)),
        Tensor::f_einsum("ij,jk->ik", &[&a, &b], None::<i64>),
        a.f_cross_entropy_loss(&b, None::<Tensor>, manytask_tensor::Reduction::Mean, -100, 0.0),
    ];
    for failure in failures {
        let error = Error::from(failure.unwrap_err());
        assert_clean(&error);
        assert!(error.to_string().len() > "libtorch: ".len() + 5, "{error}");
    }
}

#[test]
fn an_undefined_tensor_does_not_panic_in_an_error() {
    let (a, nothing) = (zeros(&[2]), Tensor::new());
    let error = a.f_add(&nothing).op("add", &[&a, &nothing]).unwrap_err();
    assert_clean(&error);
    assert!(error.to_string().starts_with("add on [2] and []: "), "{error}");
}
