"""`digitbench draw`: a page where a person draws a digit and sees, while drawing, what every candidate answers.

The page is one file each of HTML, CSS and JavaScript, served by Starlette and uvicorn: four distributions and 1.2 MB
beside the base install, where Gradio 6 brings 39 and 180 MB. Gradio's sketch pad sends what is drawn when a stroke has
ended and shows an answer about a second later; here answers follow the stroke within some 30 ms, one backend's
without waiting for the others' (`benchmarks/draw.py` measures it). Neither page asks anything of other servers.
"""
