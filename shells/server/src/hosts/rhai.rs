//! A program file in [Rhai](https://rhai.rs): a service is one object map, its values are the state
//! and its functions are the methods.
//!
//! ```text
//! service("test_counter", #{
//!     count: 0,                                  // state
//!
//!     increment: |by| {                          // a method; `this` is the state
//!         this.count += by ?? 1;                 // what the caller left out is ()
//!         this._told()
//!     },
//!     get_count: || this.count,
//!
//!     _told: || #{ count: this.count, node_id: node_id() },   // private: begins with _
//! });
//! ```
//!
//! - Parameters by position arrive as arguments, in order; parameters by name arrive as one map.
//! - A service is an actor: its calls run one at a time, in the order they came. Services run side
//!   by side. Up to 1024 calls wait for one service; more are answered `OVERLOADED`.
//! - `message("node.service", "method", args…)` calls another service and gives its result; with
//!   `"service"` alone, one anywhere. It throws a map with `message`, `code` and `data` when the
//!   call fails (`try { … } catch (error) { … }`). A service that waits for itself, directly or
//!   through others, waits until the deadline; write `this.method()`.
//! - `publish("messages.user.42", value)` says something on a topic, and gives to how many links
//!   and Mains it was handed; it throws as `message` does.
//! - `node_id()`, `now_ms()` (since 1970), `log(value)` (also `print`), `sleep_ms(n)` (at most
//!   60 s).
//! - `throw "text"` or `throw #{ code: 7, message: "text", data: … }` is the caller's JSON-RPC
//!   error. State changed before a `throw` stays changed.
//! - Functions (`fn helper(x) { … }`) and constants of the file can be used in every method.
//!   Variables of the file cannot: what changes belongs into the state of one service.
//! - There are no files, no modules and no `eval`. A call may take ten million operations; it stops
//!   at its deadline, or when its caller is gone.
//!
//! Numbers: integers have 64 bits and are never rounded; one that does not fit is refused. This
//! file decides what a program declares; `actor` runs it, `engine` bounds it, `json` converts.

mod actor;
mod engine;
mod failure;
mod json;

use super::{Caller, HostError, shortened};
use ::rhai::{AST, Dynamic, EvalAltResult, FnPtr, Map, Position};
use relay_tokio::{NameInvalid, Service, is_method, is_service};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Services, each with its name.
pub type NamedServices = Vec<(String, Arc<dyn Service>)>;

/// A program that compiles. Nothing of it has run yet.
pub struct Program {
    path: String,
    ast: AST,
}

impl Program {
    /// Reads and compiles the program at `path`.
    ///
    /// # Errors
    /// [`HostError::File`], [`HostError::FileTooLarge`], or [`HostError::Program`] with the line
    /// and position of what does not compile.
    pub fn load(path: &Path) -> Result<Self, HostError> {
        let shown = shortened(&path.to_string_lossy());
        let file_error = |error| HostError::File { path: shown.clone(), error };
        let file = std::fs::File::open(path).map_err(file_error)?;
        let mut text = String::new();
        // The size is checked while reading: what a path names may have no size, or grow.
        file.take(PROGRAM_BYTES_MAX + 1).read_to_string(&mut text).map_err(file_error)?;
        if text.len() as u64 > PROGRAM_BYTES_MAX {
            return Err(HostError::FileTooLarge { path: shown, limit: PROGRAM_BYTES_MAX });
        }
        Self::parse(&shown, &text)
    }

    /// Compiles `text`; messages call it `name`.
    ///
    /// # Errors
    /// [`HostError::Program`] with the line and position of what does not compile.
    pub fn parse(name: &str, text: &str) -> Result<Self, HostError> {
        let ast = engine::declaring(|_, _| Ok(()), None)
            .compile(text)
            .map_err(|error| program_error(name, &error.to_string()))?;
        Ok(Self { path: name.to_owned(), ast })
    }

    /// Runs the program once, which declares its services, and starts one thread for each.
    /// Called inside a tokio runtime. A service ends with the last handle to it.
    ///
    /// # Errors
    /// [`HostError::Program`] when the program fails, declares no service, or declares one in a way
    /// that could not be called.
    pub fn start(&self, node: &Arc<dyn Caller>) -> Result<NamedServices, HostError> {
        let mut services: NamedServices = Vec::new();
        for (name, declared) in self.declared(node)? {
            let service = actor::start(&name, declared, Arc::clone(node))
                .map_err(|error| program_error(&self.path, &error.to_string()))?;
            services.push((name, Arc::new(service)));
        }
        Ok(services)
    }

    fn declared(&self, node: &Arc<dyn Caller>) -> Result<BTreeMap<String, Declared>, HostError> {
        let arities = Arc::new(Arities::of(&self.ast));
        let services = Arc::new(Mutex::new(BTreeMap::new()));
        let declare = {
            let (services, functions) = (Arc::clone(&services), self.ast.clone_functions_only());
            move |name: &str, object: Map| -> Result<(), String> {
                let declared = Declared::new(name, object, &arities, functions.clone())?;
                let mut services = services.lock().unwrap_or_else(PoisonError::into_inner);
                if services.len() >= SERVICES_MAX {
                    return Err(format!("a program has at most {SERVICES_MAX} services"));
                }
                match services.insert(name.to_owned(), declared) {
                    None => Ok(()),
                    Some(_) => Err(format!("the service '{name}' is declared twice")),
                }
            }
        };
        engine::declaring(declare, Some(Arc::clone(node)))
            .run_ast(&self.ast)
            .map_err(|error| program_error(&self.path, &failure::text(&error)))?;
        let services =
            std::mem::take(&mut *services.lock().unwrap_or_else(PoisonError::into_inner));
        if services.is_empty() {
            let hint = "it declares no service; write service(\"name\", #{ method: || 1 });";
            return Err(program_error(&self.path, hint));
        }
        Ok(services)
    }
}

/// A service as the program wrote it.
struct Declared {
    /// What `this` is in its methods, the methods themselves included.
    state: Dynamic,
    methods: BTreeMap<String, Method>,
    functions: AST,
}

/// A function of the program that may be called from outside.
#[derive(Clone)]
struct Method {
    function: String,
    /// Constants of the program that the function uses; Rhai passes them as first arguments.
    constants: Vec<Dynamic>,
    /// How many arguments a caller may give: one number for each function of the name.
    arities: Vec<usize>,
}

impl Declared {
    fn new(name: &str, object: Map, arities: &Arities, functions: AST) -> Result<Self, String> {
        if !is_service(name) {
            let shown = shortened(name);
            return Err(format!("'{shown}' cannot name a service: {}", NameInvalid::Service));
        }
        let mut methods = BTreeMap::new();
        for (key, value) in &object {
            let Some(function) = value.read_lock::<FnPtr>() else {
                let is_state_shared = value.is_shared();
                if is_state_shared {
                    return Err(format!("{name}.{key} is shared with the rest of the program"));
                }
                continue;
            };
            // Private functions run like the others and must not share variables either.
            if function.curry().iter().any(Dynamic::is_shared) {
                return Err(format!(
                    "{name}.{key} uses a variable of the program; put it into the state of the \
                     service and write this.variable, or make it a const",
                ));
            }
            if key.starts_with('_') {
                continue;
            }
            if !is_method(key) {
                return Err(format!("'{}': {}", shortened(key), NameInvalid::Method));
            }
            methods.insert(key.to_string(), Method::new(name, key, &function, arities)?);
        }
        if methods.is_empty() {
            return Err(format!("{name} has no method; write for example get: || this.value"));
        }
        Ok(Self { state: object.into(), methods, functions })
    }
}

impl Method {
    fn new(service: &str, key: &str, pointer: &FnPtr, arities: &Arities) -> Result<Self, String> {
        let function = pointer.fn_name();
        let bound = pointer.curry().len();
        let mut of_function: Vec<usize> =
            arities.get(function).iter().filter_map(|count| count.checked_sub(bound)).collect();
        of_function.sort_unstable();
        if of_function.is_empty() {
            let shown = shortened(function);
            return Err(format!("{service}.{key} points to '{shown}', which the program lacks"));
        }
        let constants = pointer.curry().to_vec();
        Ok(Self { function: function.to_owned(), constants, arities: of_function })
    }

    /// How many arguments the function gets when the caller gave `given`; those missing are `()`.
    fn arity(&self, given: usize) -> Option<usize> {
        self.arities.iter().copied().find(|arity| *arity >= given)
    }
}

/// How many parameters each function of a program takes.
struct Arities(BTreeMap<String, Vec<usize>>);

impl Arities {
    fn of(ast: &AST) -> Self {
        let mut arities: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for function in ast.iter_functions() {
            arities.entry(function.name.to_owned()).or_default().push(function.params.len());
        }
        Self(arities)
    }

    fn get(&self, function: &str) -> &[usize] {
        self.0.get(function).map_or(&[], Vec::as_slice)
    }
}

/// An error of the host, thrown inside a program.
fn thrown(message: impl Into<Dynamic>) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(message.into(), Position::NONE).into()
}

fn program_error(path: &str, message: &str) -> HostError {
    HostError::Program { path: path.to_owned(), message: message.to_owned() }
}

const PROGRAM_BYTES_MAX: u64 = 1024 * 1024;
const SERVICES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> Result<BTreeMap<String, Declared>, String> {
        let node: Arc<dyn Caller> = Arc::new(super::super::LateNode::default());
        let program = Program::parse("test.rhai", text).map_err(|error| error.to_string())?;
        program.declared(&node).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_are_methods_and_the_rest_is_state() {
        let services = declared(
            r#"const LIMIT = [1, 2];
               fn double(x) { x * 2 }
               service("a", #{ count: 0, add: |by| { this.count += by; }, limit: || LIMIT,
                               double: Fn("double"), _hidden: || 1 });
               service("b", #{ get: |x, y| x });"#,
        )
        .unwrap();
        assert_eq!(services.keys().collect::<Vec<_>>(), ["a", "b"]);
        let methods = &services["a"].methods;
        assert_eq!(methods.keys().collect::<Vec<_>>(), ["add", "double", "limit"]);
        assert_eq!((methods["limit"].arity(0), methods["limit"].arity(1)), (Some(0), None));
        let get = &services["b"].methods["get"];
        assert_eq!((get.arity(0), get.arity(2), get.arity(3)), (Some(2), Some(2), None));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, hint) in [
            ("let x = ", "line 1"),
            ("let x = 1;", "declares no service"),
            ("service(\"a\", #{ x: 1 });", "has no method"),
            ("service(\"a\", #{ _x: || 1 });", "has no method"),
            ("service(\"a.b\", #{ x: || 1 });", "a service name is"),
            ("service(\"a\", #{ \"x y\": || 1 });", "a method name is"),
            ("service(\"a\", #{ x: Fn(\"nope\") });", "'nope', which the program lacks"),
            ("let n = 0; service(\"a\", #{ x: || { n += 1; n } });", "uses a variable"),
            ("service(\"a\", #{ x: || 1 });\nservice(\"a\", #{ x: || 1 });", "declared twice"),
            ("\n\nthrow \"no luck\";", "no luck (line 3"),
            ("let x = 0; while true { x += 1; }", "operations"),
            ("eval(\"1\");", "eval"),
            ("import \"other\" as other;", "modules"),
            ("message(\"a\", \"b\");", "inside a method"),
            ("sleep_ms(10);", "inside a method"),
            ("publish(\"a\", 1);", "inside a method"),
            ("let x = \"a\"; loop { x += x; }", "too large"),
            ("fn f(x) { f(x + 1) } f(1);", "overflow"),
        ] {
            let error = declared(text).err().unwrap();
            assert!(error.starts_with("test.rhai: ") && error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn files_are_bounded() {
        let missing = Program::load(Path::new("/nonexistent/x.rhai")).err().unwrap();
        assert!(matches!(missing, HostError::File { .. }), "{missing}");
        let endless = Program::load(Path::new("/dev/zero")).err().unwrap();
        assert!(matches!(endless, HostError::FileTooLarge { .. }), "{endless}");
    }
}
