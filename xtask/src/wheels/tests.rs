use super::*;
use crate::versions::TORCH_VERSION;

const ALL: [Platform; 3] = [Platform::LinuxX86, Platform::LinuxArm, Platform::MacArm];

#[test]
fn every_file_name_carries_its_package_version_and_a_tag_pip_is_asked_for() {
    for platform in ALL {
        let mut table = wheels(platform, Compute::Cpu).unwrap();
        if platform == Platform::LinuxX86 {
            table = wheels(platform, Compute::Cuda).unwrap();
        }
        assert_eq!((table[0].package, table[0].version), ("torch", TORCH_VERSION));
        let tags = platform.pip_tags();
        for wheel in table {
            let start = format!("{}-{}-", wheel.package.replace('-', "_"), wheel.version);
            assert!(wheel.file.starts_with(&start), "{}", wheel.file);
            let platforms = wheel.file.rsplit('-').next().unwrap().strip_suffix(".whl").unwrap();
            assert!(platforms.split('.').any(|tag| tags.iter().any(|known| known == tag)), "{}", wheel.file);
            assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}

#[test]
fn wheel_names_by_platform() {
    let first = |platform| wheels(platform, Compute::Cpu).unwrap()[0].file;
    assert_eq!(first(Platform::LinuxX86), "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl");
    assert_eq!(first(Platform::LinuxArm), "torch-2.11.0-cp312-cp312-manylinux_2_28_aarch64.whl");
    assert_eq!(first(Platform::MacArm), "torch-2.11.0-cp312-cp312-macosx_11_0_arm64.whl");
}

#[test]
fn cuda_is_refused_where_it_cannot_be() {
    assert!(wheels(Platform::LinuxX86, Compute::Cuda).is_ok());
    for platform in [Platform::LinuxArm, Platform::MacArm] {
        let error = wheels(platform, Compute::Cuda).unwrap_err().to_string();
        assert!(error.contains("--cuda") && error.contains(&platform.to_string()), "{error}");
    }
}

#[test]
fn a_digest_is_checked_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.whl");
    fs_err::write(&path, b"abc").unwrap();
    let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut wheel = Wheel { package: "x", version: "1", file: "x.whl", sha256: right };
    verify(&wheel, &path).unwrap();
    wheel.sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae";
    let error = verify(&wheel, &path).unwrap_err().to_string();
    assert!(error.contains("x.whl") && error.contains(right), "{error}");
}
