//! The pages of the guide as tests read them: what a section tells its reader to type or to write.

/// A page, by its text.
#[derive(Clone, Copy, Debug)]
pub struct Page(pub &'static str);

impl Page {
    /// What is below the heading with this title, down to the next one of its rank.
    #[track_caller]
    pub fn section(&self, title: &str) -> &'static str {
        let heading = format!("\n## {title}\n");
        let Some((_, below)) = self.0.split_once(&heading) else {
            panic!("the page has no section {title}");
        };
        below.split("\n## ").next().unwrap_or_default()
    }

    /// The fenced blocks of a section that are in this language, in their order.
    #[track_caller]
    pub fn blocks(&self, title: &str, language: &str) -> Vec<String> {
        let fence = format!("```{language}\n");
        let mut blocks = Vec::new();
        for begun in self.section(title).split(&fence).skip(1) {
            let (block, _) = begun.split_once("\n```").expect("a fence that is closed");
            blocks.push(block.to_owned());
        }
        assert!(!blocks.is_empty(), "no {language} below {title}");
        blocks
    }

    /// The indented lines of a section: what is typed at a prompt.
    #[track_caller]
    pub fn commands(&self, title: &str) -> Vec<String> {
        let mut commands = Vec::new();
        let mut is_fenced = false;
        for line in self.section(title).lines() {
            if line.starts_with("```") {
                is_fenced = !is_fenced;
            }
            if let Some(command) = line.strip_prefix("    ")
                && !is_fenced
            {
                commands.push(command.trim().to_owned());
            }
        }
        assert!(!commands.is_empty(), "no commands below {title}");
        commands
    }
}
