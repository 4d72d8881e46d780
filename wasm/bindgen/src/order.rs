//! Functions in the order of their names.
//!
//! The copies that a generic function has for each type are almost equal and lie side by side then,
//! where gzip, which looks back 32 KiB, finds them: 3 % of the module.

use std::collections::BTreeMap;

use wasm_encoder::{
    CodeSection, FunctionSection, Module,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, FunctionSectionReader, KnownCustom, Name, Parser,
    Payload, TypeRef,
};

/// The same module, in order and without the names.
pub(crate) fn by_name(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut order = Order::of(wasm)?;
    let mut module = Module::new();
    utils::parse_core_module(&mut order, &mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

struct Order {
    /// Imported functions have the first indices, and keep them.
    imported: u32,
    /// Where each other function was.
    old: Vec<usize>,
    /// Where it is now, by where it was.
    new: Vec<u32>,
}

impl Order {
    fn of(wasm: &[u8]) -> Result<Self, Error> {
        let (mut imported, mut defined) = (0, 0);
        let mut names = BTreeMap::new();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(section) => defined = section.count(),
                Payload::CustomSection(section) => {
                    let KnownCustom::Name(subsections) = section.as_known() else { continue };
                    for subsection in subsections {
                        let Name::Function(map) = subsection? else { continue };
                        for naming in map {
                            let naming = naming?;
                            names.insert(naming.index, naming.name);
                        }
                    }
                }
                _ => {}
            }
        }
        let mut old: Vec<usize> = (0..defined as usize).collect();
        old.sort_by_key(|&at| names.get(&(imported + at as u32)));
        let mut new = vec![0; old.len()];
        for (now, &before) in old.iter().enumerate() {
            new[before] = now as u32;
        }
        Ok(Self { imported, old, new })
    }
}

impl Reencode for Order {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        let own = function.checked_sub(self.imported).and_then(|at| self.new.get(at as usize));
        Ok(own.map_or(function, |now| self.imported + now))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        let types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
        for &before in &self.old {
            functions.function(types[before]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for before in self.old.clone() {
            utils::parse_function_body(self, code, bodies[before].clone())?;
        }
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: CustomSectionReader<'_>,
    ) -> Result<(), Error> {
        Ok(())
    }
}
