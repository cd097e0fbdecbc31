//! Reads and runs ONNX models with `tract`.
//!
//! It is a crate of its own because `tract` registers its operators by static constructors, so that every binary that
//! depends on it becomes much larger. `detection` describes models and reads their outputs; only the worker runs them.
//!
//! A model's file is a program that someone else wrote. Every failure of `tract`, panics included, becomes an error
//! here. A file cannot make it read another file: weights beside the file are refused. Operators that draw random
//! numbers are refused, because the same picture shall give the same findings.
//!
//! The memory that a model needs is calculated before it is optimised, as far as shapes are known, and the result of an
//! operator is measured once it is there. Neither bounds the memory that `tract` takes while it reads a file, nor that
//! of one operator at work: whoever may write to the bucket of models is trusted that far. If a worker dies of it,
//! another takes its place, as with every worker that dies, and the job ends.
//!
//! `tract` runs on the caller's thread alone. The deadline is checked between the stages of loading and before each
//! operator of the model. A single operator or stage is not interrupted, and a body that an operator runs repeatedly
//! (`Scan`, `Loop`, `LSTM`) is part of that operator. If a worker is ended in the midst of one, another takes its
//! place.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use detection::{Array, Cause, Description, DetectError, Model, ModelError, ModelSource, Network};
use imaging::Deadline;
use tract_onnx::{
    pb::{GraphProto, tensor_shape_proto::dimension, type_proto},
    prelude::{
        DatumType, Framework as _, InferenceFact, InferenceModelExt, IntoRunnable, IntoTensor as _, TValue,
        Tensor, TractError, TractResult, TypedModel, TypedRunnableModel, tvec,
    },
    tract_core::{
        ops::konst::Const,
        plan::{self, SimpleState},
    },
    tract_hir::{infer::Factoid as _, internal::DimLike as _},
};

/// The most bytes of the results of one operator, together with all weights where those are known.
const MOST_BYTES: usize = 256 << 20;
/// The most operators, those of inner graphs included: ten times what the largest detectors have.
const MOST_OPERATORS: usize = 20_000;
/// The most bytes of the name of a dimension. It may be a formula, which `tract` parses by recursion, so that a long
/// one could exhaust the stack.
const MOST_FORMULA: usize = 100;
/// The most operators that an error message names.
const MOST_NAMED: usize = 10;

/// Reads a model (the bytes of an `.onnx` file) and its description (the bytes of the JSON beside it). This takes as
/// long as running the model a few times.
///
/// # Errors
/// [`DetectError::Model`], and [`DetectError::TimedOut`] when the deadline passes; no file makes it panic.
pub fn load(
    source: ModelSource,
    model: &[u8],
    description: &[u8],
    deadline: Deadline,
) -> Result<Model, DetectError> {
    let description = Description::read(description)?;
    let plan =
        guarded(|| Plan::read(model, description.shape(), deadline)).map_err(ModelError::Unusable)??;
    Ok(Model::new(source, description, plan))
}

/// A model, optimised for one shape of its input.
struct Plan {
    model: Arc<TypedRunnableModel>,
    shape: [usize; 4],
    /// The type of the input's samples.
    datum: DatumType,
    /// The names of its outputs, in their order.
    outputs: Vec<String>,
}

impl Network for Plan {
    fn takes_bytes(&self) -> bool {
        self.datum == DatumType::U8
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Checks the deadline before every operator, and the size of its results after it.
    fn run(&self, samples: &[f32], deadline: Deadline) -> Result<Vec<Array>, DetectError> {
        let unusable = |cause| DetectError::Model(ModelError::Unusable(cause));
        let ran = guarded(|| -> TractResult<Vec<Array>> {
            let input = Tensor::from_shape(&self.shape, samples)?.cast_to_dt(self.datum)?.into_owned();
            let mut state = SimpleState::new(&self.model)?;
            let outputs =
                state.run_plan_with_eval(tvec![TValue::from(input)], |context, state, node, inputs| {
                    let stop = |error| TractError::new(error);
                    deadline.check().map_err(|late| stop(DetectError::from(late)))?;
                    let given = plan::eval(context, state, node, inputs)?;
                    let sizes =
                        given.iter().map(|output| output.len().saturating_mul(output.datum_type().size_of()));
                    check_bytes(sizes.fold(0, usize::saturating_add)).map_err(|error| stop(error.into()))?;
                    TractResult::Ok(given)
                })?;
            outputs.into_iter().map(array).collect()
        });
        let ran = ran.map_err(unusable)?;
        ran.map_err(|error| error.downcast::<DetectError>().unwrap_or_else(|error| unusable(cause(&error))))
    }
}

/// Converts an output of any numeric type to floats, if these are within the limit.
fn array(output: TValue) -> TractResult<Array> {
    let output = output.into_tensor();
    check_bytes(output.len().saturating_mul(size_of::<f32>()))
        .map_err(|error| TractError::new(DetectError::from(error)))?;
    let values = output.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    Array::new(output.shape().to_vec(), values).ok_or_else(|| TractError::msg("a tensor of another size"))
}

fn cause(error: &TractError) -> Cause {
    Cause(format!("{error:#}"))
}

/// Calls into `tract`, and turns its panics into errors.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Cause> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Cause("tract panicked".to_owned()))
}

impl Plan {
    fn read(mut file: &[u8], shape: [usize; 4], deadline: Deadline) -> Result<Self, DetectError> {
        deadline.check()?;
        let unreadable = |error: TractError| ModelError::Unreadable(cause(&error));
        let unusable = |error: TractError| ModelError::Unusable(cause(&error));
        let onnx = tract_onnx::onnx();
        let proto = onnx.proto_model_for_read(&mut file).map_err(unreadable)?;
        let graph =
            proto.graph.as_ref().ok_or_else(|| ModelError::Unreadable(Cause("no graph".to_owned())))?;
        let is_random = |operator: &str| {
            operator.starts_with("Random") || ["Bernoulli", "Multinomial"].contains(&operator)
        };
        let mut strangers = Vec::new();
        survey(graph, &mut strangers)?;
        strangers.retain(|operator| is_random(operator) || !onnx.op_register.0.contains_key(*operator));
        strangers.sort_unstable();
        strangers.dedup();
        if !strangers.is_empty() {
            let names: Vec<String> = strangers.into_iter().take(MOST_NAMED).map(printable).collect();
            return Err(ModelError::Unsupported(names.join(", ")).into());
        }
        let outputs = graph.output.iter().map(|output| output.name.clone()).collect();
        deadline.check()?;
        let model = onnx.model_for_proto_model(&proto).map_err(unusable)?;
        drop(proto);
        deadline.check()?;
        let [input] = model.input_outlets().map_err(unusable)? else {
            let count = model.inputs.len();
            let text = format!("it has {count} inputs, and exactly one is given");
            return Err(ModelError::Disagrees(text).into());
        };
        let declared = model.outlet_fact(*input).map_err(unusable)?;
        let datum = input_type(declared)?;
        check_shape(declared, shape)?;
        let model = model
            .with_input_fact(0, InferenceFact::dt_shape(datum, shape))
            .and_then(InferenceModelExt::into_typed)
            .map_err(unusable)?;
        check_memory(&model)?;
        deadline.check()?;
        let model = model.into_decluttered().map_err(unusable)?;
        check_memory(&model)?;
        deadline.check()?;
        let model = model.into_optimized().and_then(IntoRunnable::into_runnable).map_err(unusable)?;
        Ok(Self { model, shape, datum, outputs })
    }
}

/// Checks that all weights, together with the largest result of any other operator, are within the limit, as far as
/// shapes are known.
fn check_memory(model: &TypedModel) -> Result<(), ModelError> {
    let (mut weights, mut largest) = (0_usize, 0);
    for node in model.nodes() {
        let sizes = node.outputs.iter().filter_map(|output| {
            let shape = output.fact.shape.as_concrete()?;
            let size = output.fact.datum_type.size_of();
            Some(shape.iter().fold(size, |bytes, side| bytes.saturating_mul(*side)))
        });
        let bytes = sizes.fold(0, usize::saturating_add);
        if node.op_is::<Const>() {
            weights = weights.saturating_add(bytes);
        } else {
            largest = largest.max(bytes);
        }
    }
    check_bytes(weights.saturating_add(largest))
}

fn check_bytes(bytes: usize) -> Result<(), ModelError> {
    if bytes > MOST_BYTES { Err(ModelError::TooLarge { bytes, most: MOST_BYTES }) } else { Ok(()) }
}

/// Collects the operators of a graph and of the graphs within it. Fails if there are too many, or if the name of a
/// dimension is too long.
fn survey<'a>(graph: &'a GraphProto, operators: &mut Vec<&'a str>) -> Result<(), ModelError> {
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        let Some(type_proto::Value::TensorType(tensor)) =
            value.r#type.as_ref().and_then(|of| of.value.as_ref())
        else {
            continue;
        };
        for side in tensor.shape.iter().flat_map(|shape| &shape.dim) {
            if matches!(&side.value, Some(dimension::Value::DimParam(name)) if name.len() > MOST_FORMULA) {
                let cause = Cause(format!("a side's name is longer than {MOST_FORMULA} bytes"));
                return Err(ModelError::Unreadable(cause));
            }
        }
    }
    for node in &graph.node {
        if operators.len() == MOST_OPERATORS {
            return Err(ModelError::TooManyOperators { most: MOST_OPERATORS });
        }
        operators.push(&node.op_type);
        let mut inner =
            node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        inner.try_for_each(|graph| survey(graph, operators))?;
    }
    Ok(())
}

/// An operator's name, reduced to harmless characters, because a file may contain anything there.
fn printable(name: &str) -> String {
    name.chars().filter(|letter| letter.is_ascii_alphanumeric() || "_.".contains(*letter)).take(60).collect()
}

/// The type of the input's samples; floats if the model does not state one.
fn input_type(declared: &InferenceFact) -> Result<DatumType, ModelError> {
    match declared.datum_type.concretize().unwrap_or(DatumType::F32) {
        datum @ (DatumType::F32 | DatumType::F16 | DatumType::U8) => Ok(datum),
        other => Err(ModelError::Disagrees(format!(
            "its input is of the type {other:?}; pixels are given as f32, f16 or u8"
        ))),
    }
}

/// Checks that the input that the model declares can have the shape in the description.
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

#[cfg(test)]
mod tests {
    use tract_onnx::{
        pb::{
            AttributeProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto,
            tensor_shape_proto::Dimension,
        },
        prelude::{DatumTypeExt as _, SpecialOps as _},
    };

    use super::*;

    /// A value with one dimension of that name.
    fn value(name: String) -> ValueInfoProto {
        let side = Dimension { value: Some(dimension::Value::DimParam(name)), ..Dimension::default() };
        let shape = Some(TensorShapeProto { dim: vec![side] });
        let tensor = type_proto::Tensor { shape, ..type_proto::Tensor::default() };
        let of = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { r#type: Some(of), ..ValueInfoProto::default() }
    }

    fn node(inner: Option<GraphProto>) -> NodeProto {
        let attribute = AttributeProto { g: inner, ..AttributeProto::default() };
        NodeProto { op_type: "Loop".to_owned(), attribute: vec![attribute], ..NodeProto::default() }
    }

    #[test]
    fn a_formula_that_could_exhaust_the_stack_is_refused_wherever_it_stands() {
        let graph = |name: String| -> [GraphProto; 4] {
            let values = || vec![value(name.clone())];
            let within = GraphProto { value_info: values(), ..GraphProto::default() };
            [
                GraphProto { input: values(), ..GraphProto::default() },
                GraphProto { output: values(), ..GraphProto::default() },
                GraphProto { node: vec![node(Some(within.clone()))], ..GraphProto::default() },
                within,
            ]
        };
        for graph in graph("N/2".to_owned()) {
            survey(&graph, &mut Vec::new()).expect("a side like many");
        }
        for graph in graph("(".repeat(100_000)) {
            assert_eq!(survey(&graph, &mut Vec::new()).expect_err("too long").code(), "invalid_model");
        }
    }

    #[test]
    fn operators_are_counted_with_those_of_inner_graphs() {
        let within = GraphProto { node: vec![node(None); MOST_OPERATORS - 1], ..GraphProto::default() };
        let mut graph = GraphProto { node: vec![node(Some(within))], ..GraphProto::default() };
        let mut operators = Vec::new();
        survey(&graph, &mut operators).expect("just as many as are run");
        assert_eq!(operators.len(), MOST_OPERATORS);
        graph.node.push(node(None));
        assert_eq!(survey(&graph, &mut Vec::new()).expect_err("one more").code(), "model_too_large");
    }

    #[test]
    fn weights_and_results_beyond_the_limit_are_refused() {
        assert!(check_bytes(MOST_BYTES).is_ok());
        assert_eq!(check_bytes(MOST_BYTES + 1).expect_err("more").code(), "model_too_large");
        let mut model = TypedModel::default();
        let half = Tensor::zero::<u8>(&[MOST_BYTES / 2]).expect("a tensor");
        model.add_const("some", half).expect("a constant");
        let whole = DatumType::U8.fact([MOST_BYTES / 2]);
        model.add_source("input", whole).expect("an input");
        check_memory(&model).expect("just enough");
        model.add_const("more", Tensor::zero::<u8>(&[1]).expect("a tensor")).expect("a constant");
        assert_eq!(check_memory(&model).expect_err("one more").code(), "model_too_large");
    }
}
