//! Devices: as they are written, and as they are absent.

use manytask_tensor::{Device, DeviceChoice, Error, Kind, Tensor};
use proptest::prelude::*;

#[test]
fn a_device_is_printed_as_it_is_parsed() {
    for (text, choice) in [
        ("cpu", DeviceChoice::Cpu),
        ("auto", DeviceChoice::Auto),
        ("cuda", DeviceChoice::Cuda(0)),
        ("cuda:0", DeviceChoice::Cuda(0)),
        ("cuda:3", DeviceChoice::Cuda(3)),
    ] {
        assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
        assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
    }
    assert_eq!(DeviceChoice::default(), DeviceChoice::Cpu);
}

#[test]
fn an_unknown_device_is_refused_with_the_known_ones() {
    for text in
        ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:x", "cuda:99999999999999999999"]
    {
        let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{text}`")) && error.contains("`cuda:N`"), "{error}");
    }
}

/// This machine may have a GPU or not; either way there is an answer and no crash.
#[test]
fn cuda_is_there_or_explained() {
    for choice in [DeviceChoice::Cuda(0), DeviceChoice::Cuda(0), DeviceChoice::Cuda(4_000)] {
        match choice.resolve() {
            Ok(device) => {
                assert_eq!(device, Device::Cuda(0));
                let x = Tensor::ones([2], (Kind::Float, device));
                assert_eq!((x * 2.0).sum(Kind::Float).double_value(&[]), 4.0);
            }
            Err(error) => {
                let Error::Device { requested, reason, remedy } = &error else { panic!("{error}") };
                assert_eq!(*requested, choice.to_string());
                assert!(!reason.is_empty() && !remedy.is_empty());
                let text = error.to_string();
                assert!(text.contains("cannot be used") && !text.contains('\n'), "{text}");
                // Where a library is missing, it is named.
                assert!(!text.contains("be opened") || text.contains(".so") && text.contains(": "), "{text}");
                assert!(!text.contains("dlopen failed"), "{text}");
            }
        }
    }
}

#[test]
fn auto_is_always_there() {
    let device = DeviceChoice::Auto.resolve().unwrap();
    assert_eq!(device != Device::Cpu, DeviceChoice::Cuda(0).resolve().is_ok());
    assert_eq!(DeviceChoice::Cpu.resolve().unwrap(), Device::Cpu);
    // A failed attempt leaves the processor usable.
    assert_eq!(Tensor::ones([2], (Kind::Float, Device::Cpu)).sum(Kind::Float).double_value(&[]), 2.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in "(cuda|cpu|auto)?:?.{0,6}") {
        if let Ok(choice) = text.parse::<DeviceChoice>() {
            prop_assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }
    }
}
