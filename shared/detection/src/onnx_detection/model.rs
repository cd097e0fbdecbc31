//! A model: read, held against its description, optimised, and run; all by `tract`.
//!
//! A model's file is a program that someone else wrote. Whatever `tract` makes of it, panics included, becomes an error
//! here; a file is never led to read another one (weights beside the file are refused); and operators that draw random
//! numbers are refused, because the same picture shall give the same findings.
//!
//! What cannot be bounded is memory that `tract` takes while it reads a file, before shapes are known: who may write to
//! the bucket of models is trusted that far. A worker that dies of it is succeeded as every worker is, and the job ends.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use imaging::{Deadline, TimedOut};
use jobs::key::ModelKey;
use tract_onnx::{
    pb::GraphProto,
    prelude::{
        DatumType, Framework as _, InferenceFact, InferenceModelExt, IntoRunnable, TValue, Tensor,
        TractError, TractResult, TypedModel, TypedRunnableModel, tvec,
    },
    tract_core::plan::{self, SimpleState},
    tract_hir::{infer::Factoid as _, internal::DimLike as _},
};

use super::description::Description;

/// The most bytes of what one operator gives, and of all the results and weights that are known before it is run.
const MOST_BYTES: usize = 256 << 20;
/// The most operators that an error names.
const MOST_NAMED: usize = 10;

/// A model with its description, ready to be run. Costs much to make and some hundred bytes to share.
#[derive(Clone)]
pub struct Model(Arc<Parts>);

struct Parts {
    source: ModelSource,
    description: Description,
    plan: Arc<TypedRunnableModel>,
    /// What the samples of its input are.
    datum: DatumType,
    /// What its outputs are called, in their order.
    outputs: Vec<String>,
}

/// Which model made findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSource {
    /// Its key in the bucket of models.
    pub key: ModelKey,
    /// SHA-256 of the model's file, in hex.
    pub sha256: String,
    /// SHA-256 of the description beside it, in hex.
    pub description_sha256: String,
}

/// Why a model cannot be used. None of these goes away by trying again.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The algorithm needs a model and was given none.
    #[error("the model was not loaded")]
    NotLoaded,
    /// The JSON beside the model does not describe one.
    #[error("the model's description cannot be used: {0}")]
    Description(String),
    /// The file is no ONNX model, or a damaged one.
    #[error("the model cannot be read: it must be one whole ONNX file, its weights included")]
    Unreadable(#[source] Cause),
    /// It uses operators that do not exist here.
    #[error("the model cannot be run: it uses operators that are not supported: {0}")]
    Unsupported(String),
    /// Its operators do not fit each other, or one of them failed.
    #[error("the model cannot be run: its operators do not fit each other, or use what is not supported")]
    Unusable(#[source] Cause),
    /// It is not what the description says.
    #[error("the model and its description disagree: {0}")]
    Disagrees(String),
    /// It would take more memory than there is.
    #[error("the model is too large: a step of it takes {bytes} bytes, and at most {MOST_BYTES} are given")]
    TooLarge {
        /// What it would take.
        bytes: usize,
    },
}

impl ModelError {
    /// The stable code that clients see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLoaded => "internal_error",
            Self::Description(_) => "invalid_model_description",
            Self::Unreadable(_) | Self::Unsupported(_) | Self::Unusable(_) => "invalid_model",
            Self::Disagrees(_) => "model_mismatch",
            Self::TooLarge { .. } => "model_too_large",
        }
    }
}

/// What `tract` said, for the log only.
#[derive(Debug)]
pub struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

impl From<TractError> for Cause {
    fn from(error: TractError) -> Self {
        Self(format!("{error:#}"))
    }
}

/// Why a model that could be loaded gave nothing.
#[derive(Debug)]
pub(super) enum Stopped {
    TimedOut(TimedOut),
    Failed(ModelError),
}

impl From<TimedOut> for Stopped {
    fn from(late: TimedOut) -> Self {
        Self::TimedOut(late)
    }
}

impl From<ModelError> for Stopped {
    fn from(error: ModelError) -> Self {
        Self::Failed(error)
    }
}

/// An output of a model: its axes, and its numbers in their order.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Model {
    /// Reads a model (the bytes of an `.onnx` file) and its description (those of the JSON beside it). Takes as long as
    /// running it a few times.
    ///
    /// # Errors
    /// [`ModelError`]; no file makes it panic.
    pub fn load(source: ModelSource, model: &[u8], description: &[u8]) -> Result<Self, ModelError> {
        let description = Description::read(description)?;
        let loaded = guarded(|| read(model, &description)).map_err(ModelError::Unusable)?;
        let (plan, datum, outputs) = loaded?;
        Ok(Self(Arc::new(Parts { source, description, plan, datum, outputs })))
    }

    /// Which model it is.
    #[must_use]
    pub fn source(&self) -> &ModelSource {
        &self.0.source
    }

    pub(super) fn description(&self) -> &Description {
        &self.0.description
    }

    /// What a sample of the picture is multiplied with.
    pub(super) fn scale(&self) -> f32 {
        let default = if self.0.datum == DatumType::U8 { 1.0 } else { 1.0 / 255.0 };
        self.0.description.input.scale.unwrap_or(default)
    }

    /// The place of the output of that name.
    pub(super) fn output(&self, name: &str) -> Result<usize, ModelError> {
        self.0.outputs.iter().position(|output| output == name).ok_or_else(|| {
            let known = self.0.outputs.join(", ");
            ModelError::Disagrees(format!("it has no output {name}; it has {known}"))
        })
    }

    /// Runs the model on an input of the described shape. The clock is looked at before every operator.
    pub(super) fn run(&self, pixels: &[f32], deadline: Deadline) -> Result<Vec<Array>, Stopped> {
        let Parts { plan, datum, description, .. } = &*self.0;
        let unusable = |cause| Stopped::Failed(ModelError::Unusable(cause));
        let ran = guarded(|| -> TractResult<Vec<Array>> {
            let input =
                Tensor::from_shape(&description.input.shape(), pixels)?.cast_to_dt(*datum)?.into_owned();
            let mut state = SimpleState::new(plan)?;
            let outputs =
                state.run_plan_with_eval(tvec![TValue::from(input)], |context, state, node, inputs| {
                    deadline.check().map_err(TractError::new)?;
                    plan::eval(context, state, node, inputs)
                })?;
            outputs
                .iter()
                .map(|output| {
                    let values = output.cast_to::<f32>()?;
                    let values = values.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
                    Ok(Array { shape: output.shape().to_vec(), values })
                })
                .collect()
        });
        ran.map_err(unusable)?.map_err(|error| match error.downcast::<TimedOut>() {
            Ok(late) => Stopped::TimedOut(late),
            Err(error) => unusable(error.into()),
        })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Model").field(&self.0.source).finish()
    }
}

/// Calls into `tract`, whose panics are errors.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Cause> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Cause("tract panicked".to_owned()))
}

/// The optimised model, the type of its input's samples, and the names of its outputs.
type Read = (Arc<TypedRunnableModel>, DatumType, Vec<String>);

fn read(mut file: &[u8], description: &Description) -> Result<Read, ModelError> {
    let unreadable = |error: TractError| ModelError::Unreadable(error.into());
    let unusable = |error: TractError| ModelError::Unusable(error.into());
    let onnx = tract_onnx::onnx();
    let proto = onnx.proto_model_for_read(&mut file).map_err(unreadable)?;
    let graph = proto.graph.as_ref().ok_or_else(|| ModelError::Unreadable(Cause("no graph".to_owned())))?;
    let is_random =
        |operator: &str| operator.starts_with("Random") || ["Bernoulli", "Multinomial"].contains(&operator);
    let mut strangers = Vec::new();
    operators(graph, &mut strangers);
    strangers.retain(|operator| is_random(operator) || !onnx.op_register.0.contains_key(*operator));
    strangers.sort_unstable();
    strangers.dedup();
    if !strangers.is_empty() {
        let names: Vec<String> = strangers.into_iter().take(MOST_NAMED).map(printable).collect();
        return Err(ModelError::Unsupported(names.join(", ")));
    }
    let outputs: Vec<_> = graph.output.iter().map(|output| output.name.clone()).collect();
    let model = onnx.model_for_proto_model(&proto).map_err(unusable)?;
    drop(proto);
    let [input] = model.input_outlets().map_err(unusable)? else {
        let count = model.inputs.len();
        return Err(ModelError::Disagrees(format!("it has {count} inputs, and exactly one is given")));
    };
    let declared = model.outlet_fact(*input).map_err(unusable)?;
    let datum = input_type(declared)?;
    let shape = description.input.shape();
    check_shape(declared, shape)?;
    let model = model
        .with_input_fact(0, InferenceFact::dt_shape(datum, shape))
        .and_then(InferenceModelExt::into_typed)
        .and_then(TypedModel::into_decluttered)
        .map_err(unusable)?;
    let sizes = model.nodes().iter().flat_map(|node| &node.outputs).filter_map(|output| {
        let shape = output.fact.shape.as_concrete()?;
        let size = output.fact.datum_type.size_of();
        Some(shape.iter().fold(size, |bytes, side| bytes.saturating_mul(*side)))
    });
    if let Some(bytes) = sizes.max().filter(|bytes| *bytes > MOST_BYTES) {
        return Err(ModelError::TooLarge { bytes });
    }
    let plan = model.into_optimized().and_then(IntoRunnable::into_runnable).map_err(unusable)?;
    Ok((plan, datum, outputs))
}

/// The operators of a graph and of those within it.
fn operators<'a>(graph: &'a GraphProto, all: &mut Vec<&'a str>) {
    for node in &graph.node {
        all.push(&node.op_type);
        let inner = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        inner.for_each(|graph| operators(graph, all));
    }
}

/// An operator's name as it may be shown: a file may say anything there.
fn printable(name: &str) -> String {
    name.chars().filter(|letter| letter.is_ascii_alphanumeric() || "_.".contains(*letter)).take(60).collect()
}

/// What the samples of the input are; floats where the model does not say.
fn input_type(declared: &InferenceFact) -> Result<DatumType, ModelError> {
    match declared.datum_type.concretize().unwrap_or(DatumType::F32) {
        datum @ (DatumType::F32 | DatumType::F16 | DatumType::U8) => Ok(datum),
        other => Err(ModelError::Disagrees(format!(
            "its input is of the type {other:?}; pixels are given as f32, f16 or u8"
        ))),
    }
}

/// Whether the input that the model declares can have the shape that the description says.
fn check_shape(declared: &InferenceFact, shape: [usize; 4]) -> Result<(), ModelError> {
    let sides: Vec<Option<usize>> =
        declared.shape.dims().map(|side| side.concretize().and_then(|side| side.to_usize().ok())).collect();
    let same_rank = declared.shape.is_open() || sides.len() == shape.len();
    if same_rank
        && sides.iter().zip(shape).all(|(declared, described)| declared.is_none_or(|side| side == described))
    {
        return Ok(());
    }
    let sides: Vec<_> =
        sides.iter().map(|side| side.map_or_else(|| "?".to_owned(), |s| s.to_string())).collect();
    Err(ModelError::Disagrees(format!(
        "the model's input is [{}], the description's is {shape:?}",
        sides.join(", ")
    )))
}
