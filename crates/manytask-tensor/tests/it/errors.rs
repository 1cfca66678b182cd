//! Errors say which operation, on what, and nothing of C++.

use std::panic::{AssertUnwindSafe, catch_unwind};

use manytask_tensor::{Device, Error, Kind, OpContext, Tensor, baddbmm, catch_panics, masked_fill};

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

#[test]
fn operations_with_numbers_do_not_panic_on_shapes() {
    let (bias, a, b) = (zeros(&[4, 1, 5]), zeros(&[4, 2, 3]), zeros(&[4, 3, 5]));
    let double = b.to_kind(Kind::Double);
    assert_eq!(baddbmm(&bias, &a, &b).unwrap().size(), [4, 2, 5]);
    assert_eq!(baddbmm(&zeros(&[5]), &a, &b).unwrap().size(), [4, 2, 5]);
    let nothing = Tensor::new();
    for (x, y, z) in [
        (&bias, &b, &a),
        (&bias, &a, &double),
        (&zeros(&[3, 1, 5]), &a, &b),
        (&zeros(&[1, 4, 1, 5]), &a, &b),
        (&bias, &zeros(&[2, 3]), &b),
        (&bias, &a, &nothing),
        (&nothing, &a, &b),
    ] {
        let error = baddbmm(x, y, z).unwrap_err();
        assert_clean(&error);
        assert!(error.to_string().starts_with("baddbmm on "), "{error}");
    }
    let mask = Tensor::from_slice(&[true, false, true]);
    let filled = masked_fill(&zeros(&[2, 3]), &mask, 2.0).unwrap();
    assert_eq!(Vec::<f32>::try_from(filled.reshape([-1])).unwrap(), [2.0, 0.0, 2.0, 2.0, 0.0, 2.0]);
    for (x, m) in
        [(zeros(&[3, 2]), &mask), (zeros(&[]), &mask), (zeros(&[3]), &zeros(&[3])), (Tensor::new(), &mask)]
    {
        let error = masked_fill(&x, m, 2.0).unwrap_err();
        assert_clean(&error);
        assert!(error.to_string().starts_with("masked_fill on "), "{error}");
    }
}

#[test]
fn panics_of_the_binding_become_errors_and_others_go_on() {
    let (a, b) = (zeros(&[2, 3]), zeros(&[4, 5, 6]));
    // Fallible by its name: the number's release finds the error first and panics.
    let error = catch_panics(|| Ok::<_, Error>(a.f_baddbmm(&b, &b, 1.0, 1.0)?)).unwrap_err();
    assert_clean(&error);
    let error = catch_panics(|| Ok::<_, Error>(a.matmul(&b))).unwrap_err();
    assert_clean(&error);
    assert!(error.to_string().len() > 20, "{error}");
    assert!(matches!(
        catch_panics(|| Err::<(), _>(Error::DependentCotangent)),
        Err(Error::DependentCotangent)
    ));
    assert_eq!(catch_panics(|| Ok::<_, Error>(3)).unwrap(), 3);
    let other = catch_unwind(AssertUnwindSafe(|| catch_panics(|| -> Result<(), Error> { panic!("ours") })));
    assert_eq!(other.unwrap_err().downcast_ref::<&str>(), Some(&"ours"));
    // And what was refused leaves nothing behind for the next operation.
    assert_eq!((zeros(&[2]) + 1.0).sum(Kind::Float).double_value(&[]), 2.0);
}
