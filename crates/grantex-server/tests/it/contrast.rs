//! Everybody can read the pages: the contrast of WCAG 2.2, AA, in both colour schemes, computed
//! from the style sheet that a page carries.

use std::collections::HashMap;

use crate::support::Service;

/// What is read: 1.4.3 asks for 4.5 : 1.
const TEXT: f64 = 4.5;
/// What controls are seen by: 1.4.11 asks for 3 : 1.
const CONTROL: f64 = 3.0;

/// A colour, what is behind it, and the contrast that they need.
const PAIRS: &[(&str, &str, f64)] = &[
    ("text", "page", TEXT),
    ("text", "soft", TEXT),
    ("quiet", "page", TEXT),
    ("quiet", "soft", TEXT),
    // Deny and Revoke, on the page and among the grants.
    ("stop", "page", TEXT),
    ("stop", "soft", CONTROL),
    ("on-go", "go", TEXT),
    ("go", "page", CONTROL),
    ("line", "page", CONTROL),
    ("line", "soft", CONTROL),
    ("focus", "page", CONTROL),
    ("focus", "soft", CONTROL),
];
/// Only parts areas that are told apart without it.
const DECORATION: &str = "edge";

fn style_of(page: &str) -> &str {
    let (_, style) = page.split_once("<style>").unwrap();
    style.split_once("</style>").unwrap().0
}

/// The colours that a `:root` rule sets.
fn colours(rule: &str) -> HashMap<&str, &str> {
    let (_, rule) = rule.split_once(":root{").unwrap();
    let declarations = rule.split_once('}').unwrap().0.split(';');
    declarations.filter_map(|one| one.strip_prefix("--")?.split_once(':')).collect()
}

/// WCAG's relative luminance of a colour written as `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let digits = colour.strip_prefix('#').filter(|digits| digits.len() == 6).unwrap();
    let [red, green, blue] = [0, 2, 4].map(|at| {
        let part = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[tokio::test]
async fn the_pages_have_enough_contrast_in_both_colour_schemes() {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 0.001);
    assert!((contrast("#777777", "#ffffff") - 4.478).abs() < 0.001);

    let service = Service::start().await;
    let page = service.anonymous().get("/consent?req=none").await.text;
    let style = style_of(&page);
    let (light, rest) = style.split_once("@media (prefers-color-scheme:dark){").unwrap();
    let (dark, rules) = rest.split_once("}}").unwrap();
    let dark = format!("{dark}}}");
    let light = colours(light);
    // What the dark scheme does not set stays as it is.
    let mut in_the_dark = light.clone();
    in_the_dark.extend(colours(&dark));
    for (scheme, colours) in [("light", &light), ("dark", &in_the_dark)] {
        for (front, back, least) in PAIRS {
            let found = contrast(colours[front], colours[back]);
            assert!(
                found >= *least,
                "{front} on {back} in the {scheme} scheme: {found:.2}, not {least}"
            );
        }
    }

    // Every colour of the rules is one of these, and none is made paler.
    assert!(
        !rules.contains('#') && !rules.contains("opacity") && !rules.contains("rgb"),
        "{rules}"
    );
    let used = rules.split("var(--").skip(1).map(|rest| rest.split(')').next().unwrap());
    for name in used {
        let is_checked = PAIRS.iter().any(|(front, back, _)| [*front, *back].contains(&name));
        assert!(is_checked || name == DECORATION, "{name} is in no pair");
    }
}
