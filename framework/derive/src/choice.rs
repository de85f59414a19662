//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, Variant};

use crate::attributes;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(input, "only an enum can be a choice"));
    };
    let name = &input.ident;
    let options = attributes::options(&input.attrs)?;
    let group = options.group.map_or_else(|| attributes::snake_case(&name.to_string()), |group| group.value());
    let variants = data.variants.iter().map(Parsed::new).collect::<Result<Vec<_>>>()?;
    let names: Vec<_> = variants.iter().map(|variant| variant.name.clone()).collect();
    let declare = variants.iter().map(|variant| variant.declare(&group));
    let decode = variants.iter().map(|variant| variant.decode(name));
    let encode = variants.iter().map(|variant| variant.encode(name));
    Ok(quote! {
        impl ::dr_framework::Choice for #name {
            const GROUP: &'static str = #group;

            fn fields() -> ::std::vec::Vec<::dr_framework::Field> {
                ::std::vec![#(#declare),*]
            }

            fn decode(
                object: &::std::collections::BTreeMap<::std::string::String, ::dr_framework::Value>,
            ) -> ::std::result::Result<::dr_framework::Attr<Self>, ::dr_framework::DecodeError> {
                let unknown = [#(#names),*]
                    .iter()
                    .any(|name| object.get(*name).is_some_and(::dr_framework::Value::is_unknown));
                #(#decode)*
                ::std::result::Result::Ok(if unknown {
                    ::dr_framework::Attr::Unknown
                } else {
                    ::dr_framework::Attr::Null
                })
            }

            fn encode(
                this: &::dr_framework::Attr<Self>,
                object: &mut ::std::collections::BTreeMap<::std::string::String, ::dr_framework::Value>,
            ) {
                let rest = match this {
                    ::dr_framework::Attr::Unknown => ::dr_framework::Value::unknown(),
                    _ => ::dr_framework::Value::Null,
                };
                for name in [#(#names),*] {
                    object.insert(name.to_owned(), rest.clone());
                }
                match this {
                    #(#encode)*
                    _ => {}
                }
            }
        }
    })
}

struct Parsed<'a> {
    variant: &'a Variant,
    ty: &'a syn::Type,
    name: String,
    description: String,
}

impl<'a> Parsed<'a> {
    fn new(variant: &'a Variant) -> Result<Self> {
        let Fields::Unnamed(fields) = &variant.fields else {
            return Err(Error::new_spanned(variant, "a choice's variant holds one model"));
        };
        let (Some(field), 1) = (fields.unnamed.first(), fields.unnamed.len()) else {
            return Err(Error::new_spanned(variant, "a choice's variant holds one model"));
        };
        let own = attributes::snake_case(&variant.ident.to_string());
        let name = attributes::options(&variant.attrs)?.rename.map_or(own, |name| name.value());
        Ok(Parsed { variant, ty: &field.ty, name, description: attributes::documentation(&variant.attrs) })
    }

    fn declare(&self, group: &str) -> TokenStream {
        let (name, description, ty) = (&self.name, &self.description, self.ty);
        quote! {
            ::dr_framework::Field {
                optional: true,
                one_of: Some(#group),
                ..::dr_framework::Field::new(#name, <#ty as ::dr_framework::Shape>::kind(), #description)
            }
        }
    }

    fn decode(&self, choice: &syn::Ident) -> TokenStream {
        let (name, ident) = (&self.name, &self.variant.ident);
        quote! {
            if let Some(value) = object.get(#name)
                && !value.is_null()
                && !value.is_unknown()
            {
                let inner = ::dr_framework::decode_attribute(object, #name)?;
                return ::std::result::Result::Ok(::dr_framework::Attr::Known(#choice::#ident(inner)));
            }
        }
    }

    fn encode(&self, choice: &syn::Ident) -> TokenStream {
        let (name, ident) = (&self.name, &self.variant.ident);
        quote! {
            ::dr_framework::Attr::Known(#choice::#ident(inner)) => {
                object.insert(#name.to_owned(), ::dr_framework::Shape::to_value(inner));
            }
        }
    }
}
