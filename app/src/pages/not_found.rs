//! An address that means nothing here.

use leptos::prelude::*;

use crate::components::device_link::{fleet_href, follow};
use crate::components::icon::Icon;
use crate::components::title::set_title;

/// Says that there is no such page, and links to the fleet.
#[component]
pub fn NotFoundPage() -> impl IntoView {
    set_title("Not found · Beaconry");
    let click = follow(fleet_href);
    view! {
        <section class="empty" data-testid="not-found">
            {Icon::Question.view()}
            <h1>"There is no such page"</h1>
            <p>"The address may be mistyped. All devices are on the fleet page."</p>
            <a class="button primary" href=fleet_href on:click=click>
                "Show all devices"
            </a>
        </section>
    }
}
