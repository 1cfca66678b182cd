/// The declaration of a method beside its code: what a configuration calls it, and what is said of it.
///
/// A method is whatever a configuration can name with `kind`: an aggregator, an architecture, a learner, an optimizer. The trait is
/// implemented for its settings. A registry takes all that it knows of a method from here, and the method its own name for
/// messages.
///
/// ```
/// use manytask_tensor::Method;
///
/// /// A method with one setting.
/// struct Decay {
///     rate: f64,
/// }
///
/// impl Default for Decay {
///     fn default() -> Self {
///         Self { rate: 0.9 }
///     }
/// }
///
/// impl Method for Decay {
///     const NAME: &'static str = "decay";
///     const SUMMARY: &'static str = "weights that fall from epoch to epoch";
///     const ABOUT: &'static str = "Author et al. 2020, arXiv:2001.00001: w = `rate` ^ epoch, with a rate from 0 to 1.";
/// }
///
/// assert_eq!((Decay::NAME, Decay::example().rate), ("decay", 0.9));
/// ```
pub trait Method {
    /// Its name in a configuration: lower case, words joined by underscores. It stands in checkpoints and results too, and stays.
    const NAME: &'static str;

    /// One line: what it does.
    const SUMMARY: &'static str;

    /// What a user must know beside the settings: the paper with its equation, ranges, what it needs, what a step costs. Lines
    /// are broken where it is shown.
    const ABOUT: &'static str;

    /// Where other implementations of the method have other defaults, each of them that has the method. A configuration takes these by
    /// `compat`, and what is shown of the differences comes from here.
    const COMPAT: &'static [Compat] = &[];

    /// Settings to show, all of which can be written into a configuration: the defaults, unless these are of no use.
    fn example() -> Self
    where
        Self: Default,
    {
        Self::default()
    }
}

/// The defaults of another implementation of a method.
///
/// ```
/// use manytask_tensor::Compat;
/// const LIBMTL: Compat = Compat { of: "libmtl", settings: &[("c", "0.5")], beyond: "" };
/// assert_eq!(LIBMTL.shown(), "compat = \"libmtl\": c = 0.5");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compat {
    /// Its name in a configuration.
    pub of: &'static str,
    /// The settings whose defaults are others, as keys and TOML.
    pub settings: &'static [(&'static str, &'static str)],
    /// In what it differs beyond settings; empty where it does not.
    pub beyond: &'static str,
}

impl Compat {
    /// The name of the method's own defaults.
    pub const PAPER: &'static str = "paper";

    /// One line for a reader.
    pub fn shown(&self) -> String {
        let settings: Vec<String> =
            self.settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let settings = if settings.is_empty() { "the same defaults".to_owned() } else { settings.join(", ") };
        let beyond = if self.beyond.is_empty() { String::new() } else { format!("; {}", self.beyond) };
        format!("compat = \"{}\": {settings}{beyond}", self.of)
    }
}
