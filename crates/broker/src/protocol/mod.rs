//! What packets ask for and what their answers say, as far as the packets alone tell. The machine
//! does what they ask for.

mod connect;
mod last_word;
mod prefix_sniffing;
mod publish;
mod subscribe;

pub(crate) use connect::{Granted, client_id_asked, refused, session_expiry_asked};
pub(crate) use last_word::{farewell, refusal};
pub(crate) use prefix_sniffing::looks_like;
pub(crate) use publish::{check_name, is_as_indicated};
pub(crate) use subscribe::{
    as_bridge, asks_for_retained, check_filter, check_subscribe, granted, inner_filter,
    subscription_cost,
};
