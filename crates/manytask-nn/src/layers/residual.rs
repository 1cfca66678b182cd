use manytask_tensor::{Params, Tensor};

use crate::{Context, Error, Module, Result};

/// `f(x) + s(x)` (He et al. 2016), where the shortcut s is x itself or a module.
#[derive(Debug)]
pub struct Residual {
    body: Box<dyn Module>,
    shortcut: Option<Box<dyn Module>>,
}

impl Residual {
    /// `f(x) + x`.
    pub fn new(body: Box<dyn Module>) -> Self {
        Self { body, shortcut: None }
    }

    /// `f(x) + s(x)`, for bodies that change the shape.
    pub fn with_shortcut(body: Box<dyn Module>, shortcut: Box<dyn Module>) -> Self {
        Self { body, shortcut: Some(shortcut) }
    }
}

impl Module for Residual {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let y = self.body.forward(params, x, cx)?;
        let past = match &self.shortcut {
            None => x.shallow_clone(),
            Some(shortcut) => shortcut.forward(params, x, cx)?,
        };
        if y.size() != past.size() {
            return Err(Error::Input {
                layer: "residual".into(),
                expected: format!("a shortcut of the body's shape {:?}", y.size()),
                found: past.size(),
            });
        }
        Ok(y.f_add(&past)?)
    }

    fn smallest_batch(&self) -> usize {
        self.body.smallest_batch().max(self.shortcut.as_ref().map_or(1, Module::smallest_batch))
    }
}
