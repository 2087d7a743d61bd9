//! A driver of a few functions, of which what is counted is kept beside this file.

use std::fmt::Display;

/// A generic one, which is compiled for several types.
fn twice<T: Display + Clone>(value: T, really: bool) -> String {
    let once = value.clone();
    if really { format!("{value}{once}") } else { once.to_string() }
}

/// What returns early.
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    let number = text.trim().parse::<u32>()?;
    // A comment between two lines of code.
    let double = number * 2;
    if number == 7 {
        return Ok(0);
    }

    Ok(double)
}

fn sum(numbers: &[u32]) -> u32 {
    let mut sum = 0;
    for number in numbers {
        if *number > 100 && *number % 2 == 0 {
            // Nobody comes here.
            sum += 1;
            continue;
        }
        sum += match number {
            0 => 1,
            1 | 2 => 10,
            _ => number * 3,
        };
    }
    let is_large = |sum: u32| {
        let limit = 30;
        sum > limit
    };
    if is_large(sum) { sum / 2 } else { sum }
}

#[allow(dead_code)]
fn never(of: u32) -> u32 {
    of + 1
}

struct Gone(u32);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0 -= 1;
    }
}

fn main() {
    let _gone = Gone(3);
    let texts = [twice(7, true), twice("x", false), twice("y", true)];
    assert!(texts.iter().all(|text| !text.is_empty()));
    for text in ["1", "7", "nonsense", "12"] {
        let _ = parse(text);
    }
    assert_ne!(sum(&[0, 1, 2, 3, 101]), 0);
    if let Ok(0) = parse("7") {
        sum(&[1]);
    }
}
