//! `#[derive(Model)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Field, Fields, Lit, Result, Type};

use crate::attributes::{self, Options};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "only a struct can be a model"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new_spanned(input, "a model has named fields"));
    };
    let parsed = named.named.iter().map(Parsed::new).collect::<Result<Vec<_>>>()?;
    let name = &input.ident;
    let description = attributes::documentation(&input.attrs);
    let fields = parsed.iter().map(Parsed::declare);
    let decode = parsed.iter().map(Parsed::decode);
    let encode = parsed.iter().map(Parsed::encode);
    Ok(quote! {
        impl ::dr_framework::Model for #name {
            const DESCRIPTION: &'static str = #description;

            fn fields() -> ::std::vec::Vec<::dr_framework::Field> {
                let mut fields = ::std::vec::Vec::new();
                #(#fields)*
                fields
            }

            fn decode(
                object: &::std::collections::BTreeMap<::std::string::String, ::dr_framework::Value>,
            ) -> ::std::result::Result<Self, ::dr_framework::DecodeError> {
                ::std::result::Result::Ok(Self { #(#decode),* })
            }

            fn encode(
                &self,
                object: &mut ::std::collections::BTreeMap<::std::string::String, ::dr_framework::Value>,
            ) {
                #(#encode)*
            }
        }

        impl ::dr_framework::Shape for #name {
            fn kind() -> ::dr_framework::FieldKind {
                ::dr_framework::FieldKind::Nested {
                    nesting: ::dr_framework::Nesting::Single,
                    fields: <Self as ::dr_framework::Model>::fields(),
                }
            }

            fn from_value(
                value: &::dr_framework::Value,
            ) -> ::std::result::Result<Self, ::dr_framework::DecodeError> {
                <Self as ::dr_framework::Model>::from_object(value)
            }

            fn to_value(&self) -> ::dr_framework::Value {
                <Self as ::dr_framework::Model>::to_object(self)
            }
        }
    })
}

struct Parsed<'a> {
    field: &'a Field,
    name: String,
    description: String,
    options: Options,
}

impl<'a> Parsed<'a> {
    fn new(field: &'a Field) -> Result<Self> {
        let options = attributes::options(&field.attrs)?;
        let own = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
        let name = options.rename.as_ref().map_or(own, syn::LitStr::value);
        let flags = [options.required, options.optional, options.computed, options.one_of, options.flatten];
        if !flags.contains(&true) {
            let words = "say `required`, `optional`, `computed`, `default`, `one_of` or `flatten`";
            return Err(Error::new_spanned(field, words));
        }
        if options.required && (options.optional || options.computed) {
            return Err(Error::new_spanned(field, "a required field is neither optional nor computed"));
        }
        // No plan and no state holds a write-only value: a change of it is never seen.
        if options.write_only && (options.computed || options.requires_replace || options.equal.is_some()) {
            let words = "a write-only field is not stored, so it has no default, is neither computed nor compared, and can \
                         need no new object: a field beside it that counts its versions can";
            return Err(Error::new_spanned(field, words));
        }
        Ok(Parsed { field, name, description: attributes::documentation(&field.attrs), options })
    }

    /// The type inside `Attr<…>` of a `one_of` field.
    fn choice(&self) -> TokenStream {
        let ty = &self.field.ty;
        if let Type::Path(path) = ty
            && let Some(last) = path.path.segments.last()
            && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
            && let Some(inner) = arguments.args.first()
        {
            return quote!(#inner);
        }
        quote!(#ty)
    }

    fn declare(&self) -> TokenStream {
        if self.options.one_of {
            let choice = self.choice();
            return quote!(fields.extend(<#choice as ::dr_framework::Choice>::fields()););
        }
        if self.options.flatten {
            let ty = &self.field.ty;
            return quote!(fields.extend(<#ty as ::dr_framework::Model>::fields()););
        }
        let (name, description, ty) = (&self.name, &self.description, &self.field.ty);
        let flag = |set: bool, flag: &str| {
            let flag = format_ident!("{flag}");
            set.then(|| quote!(field.#flag = true;))
        };
        let options = &self.options;
        let flags = [
            flag(options.required, "required"),
            flag(options.optional, "optional"),
            flag(options.computed, "computed"),
            flag(options.sensitive, "sensitive"),
            flag(options.write_only, "write_only"),
            flag(options.requires_replace, "requires_replace"),
        ];
        let flags = flags.iter().flatten();
        let default = options.default.as_ref().map(literal).map(|value| quote!(field.default = Some(#value);));
        let default_with = options.default_with.as_ref().map(|path| quote!(field.default = Some(#path());));
        let equal = options.equal.as_ref().map(|path| quote!(field.equality = Some(#path);));
        let deprecated = options.deprecated.as_ref().map(|why| quote!(field.deprecated = Some(#why.to_owned());));
        let validators = options.validate.iter().map(|path| quote!(field.validators.push(#path);));
        quote! {
            {
                let mut field = ::dr_framework::Field::new(#name, <#ty as ::dr_framework::Shape>::kind(), #description);
                #(#flags)* #default #default_with #equal #deprecated #(#validators)*
                fields.push(field.settled());
            }
        }
    }

    fn decode(&self) -> TokenStream {
        let (ident, name) = (&self.field.ident, &self.name);
        if self.options.one_of {
            let choice = self.choice();
            quote!(#ident: <#choice as ::dr_framework::Choice>::decode(object)?)
        } else if self.options.flatten {
            let ty = &self.field.ty;
            quote!(#ident: <#ty as ::dr_framework::Model>::decode(object)?)
        } else {
            quote!(#ident: ::dr_framework::decode_attribute(object, #name)?)
        }
    }

    fn encode(&self) -> TokenStream {
        let (ident, name) = (&self.field.ident, &self.name);
        if self.options.one_of {
            let choice = self.choice();
            quote!(<#choice as ::dr_framework::Choice>::encode(&self.#ident, object);)
        } else if self.options.flatten {
            quote!(::dr_framework::Model::encode(&self.#ident, object);)
        } else {
            quote!(object.insert(#name.to_owned(), ::dr_framework::Shape::to_value(&self.#ident));)
        }
    }
}

fn literal(literal: &Lit) -> TokenStream {
    match literal {
        Lit::Str(text) => quote!(::dr_framework::Value::string(#text)),
        Lit::Bool(truth) => quote!(::dr_framework::Value::Bool(#truth)),
        Lit::Int(number) => quote!(::dr_framework::Value::Number(::dr_framework::Number::from(#number as i64))),
        other => Error::new_spanned(other, "a default is a string, a bool or a whole number").to_compile_error(),
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::quote;
    use syn::parse_quote;

    /// Why a field with these options is refused, if it is.
    fn refused(options: &TokenStream) -> Option<String> {
        let model = parse_quote! {
            /// A model.
            struct Model {
                /// A field.
                #[dr(#options)]
                field: Attr<String>,
            }
        };
        super::expand(&model).err().map(|error| error.to_string())
    }

    #[test]
    fn a_field_is_required_or_the_others() {
        for options in [quote!(required), quote!(optional, computed), quote!(default = 3), quote!(optional, write_only)]
        {
            assert_eq!(refused(&options), None, "{options}");
        }
        for options in [quote!(), quote!(sensitive), quote!(required, computed), quote!(required, default = "x")] {
            assert!(refused(&options).is_some(), "{options}");
        }
    }

    #[test]
    fn nothing_is_computed_or_compared_where_nothing_is_stored() {
        for options in [quote!(computed), quote!(default = "x"), quote!(requires_replace), quote!(equal = same)] {
            let options = quote!(optional, write_only, #options);
            assert!(refused(&options).is_some_and(|why| why.contains("write-only")), "{options}");
        }
    }
}
