//! The number of threads belongs to the thread that set it.

use manytask_tensor::{Device, Error, Kind, Tensor, threads};

fn product() {
    let a = Tensor::ones([200, 200], (Kind::Float, Device::Cpu));
    let _ = a.matmul(&a).exp();
}

/// Each in a thread of its own: the test harness' threads are shared by tests.
fn with_single_threaded_torch<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(run).join().unwrap()
}

#[test]
fn another_thread_does_not_change_the_number() {
    for before in [false, true] {
        let numbers = with_single_threaded_torch(move || {
            if before {
                product();
            }
            threads::set(3).unwrap();
            with_single_threaded_torch(|| {
                threads::set(1).unwrap();
                product();
                assert_eq!(threads::get(), 1);
            });
            let first = threads::get();
            product();
            (first, threads::get())
        });
        assert_eq!(numbers, (3, 3), "a kernel ran before: {before}");
    }
}

#[test]
fn many_threads_keep_theirs() {
    let workers: Vec<_> = (1..=4)
        .map(|n| {
            std::thread::spawn(move || {
                threads::set(n).unwrap();
                for _ in 0..20 {
                    product();
                    assert_eq!(threads::get(), n);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

#[test]
fn libtorch_is_kept_to_one_thread_and_the_number_comes_back() {
    with_single_threaded_torch(|| {
        threads::set(3).unwrap();
        let seen = threads::with_single_threaded_torch(|| {
            let inside = threads::with_single_threaded_torch(|| {
                Ok::<_, Error>((threads::get(), tch::get_num_threads()))
            })?;
            Ok::<_, Error>([inside, (threads::get(), tch::get_num_threads())])
        });
        assert_eq!(seen.unwrap(), [(3, 1); 2]);
        assert_eq!((threads::get(), tch::get_num_threads()), (3, 3));
        let broken = std::panic::catch_unwind(|| {
            threads::with_single_threaded_torch(|| -> Result<(), Error> { panic!("on purpose") })
        });
        assert!(broken.is_err());
        assert_eq!((threads::get(), tch::get_num_threads()), (3, 3));
        threads::with_single_threaded_torch(|| threads::set(2)).unwrap();
        assert_eq!(threads::get(), 3, "what is set inside is for the inside");
    });
}

#[test]
fn no_threads_is_an_error() {
    for count in [0, usize::MAX] {
        let error = threads::set(count).unwrap_err();
        assert!(matches!(&error, Error::Threads { count: c } if *c == count), "{error}");
    }
}
